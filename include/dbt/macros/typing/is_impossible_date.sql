{# Whether a date lies before earliest_valid_date or after the load of its row; one day is left for time zones. #}
{% macro is_impossible_date(column, loaded_at='_loaded_at') -%}
    (
        {{ column }} < cast('{{ date_var('earliest_valid_date') }}' as date)
        or {{ column }} > cast({{ dbt.dateadd('day', 1, loaded_at) }} as date)
    )
{%- endmacro %}
