{# A decimal from text; null where it is none. #}
{% macro parse_decimal(column, scale=4) -%}
    {{ dbt.safe_cast(clean_text(column), 'decimal(18, ' ~ scale ~ ')') }}
{%- endmacro %}
