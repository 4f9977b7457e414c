{# Whether a year, where `text` gives one, is none between earliest_valid_date and ten years after the load. #}
{% macro is_impossible_year(text, year) -%}
    {{ clean_text(text) }} is not null
    and (
        {{ year }} is null
        or {{ year }} < {{ date_var('earliest_valid_date')[:4] }}
        or {{ year }} > extract(year from _loaded_at) + 10
    )
{%- endmacro %}
