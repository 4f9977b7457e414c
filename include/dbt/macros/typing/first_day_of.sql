{# The first day of a month; null where the year or the month is none. #}
{% macro first_day_of(year, month) -%}
    {{ dbt.safe_cast("cast(" ~ year ~ " as varchar) || '-' || lpad(cast(" ~ month ~ " as varchar), 2, '0') || '-01'", 'date') }}
{%- endmacro %}
