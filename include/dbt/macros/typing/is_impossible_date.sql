{# Before the shop existed or after the row was loaded (a day is left for time zones). #}
{% macro is_impossible_date(column, loaded_at='_loaded_at') -%}
    (
        {{ column }} < cast('{{ var('earliest_valid_date') }}' as date)
        or {{ column }} > cast({{ dbt.dateadd('day', 1, loaded_at) }} as date)
    )
{%- endmacro %}
