{# Integer quotient, exact: decimal division is floating point in DuckDB and rounded in Snowflake. #}
{% macro integer_quotient(dividend, divisor) -%}
    {{ return(adapter.dispatch('integer_quotient')(dividend, divisor)) }}
{%- endmacro %}

{% macro duckdb__integer_quotient(dividend, divisor) -%}
    (({{ dividend }}) // ({{ divisor }}))
{%- endmacro %}

{% macro snowflake__integer_quotient(dividend, divisor) -%}
    ((({{ dividend }}) - mod({{ dividend }}, {{ divisor }})) / ({{ divisor }}))
{%- endmacro %}
