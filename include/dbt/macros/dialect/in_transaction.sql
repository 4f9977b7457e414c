{# Several statements as one transaction; dbt-duckdb has begun one already. #}
{% macro in_transaction(statements) -%}
    {{ return(adapter.dispatch('in_transaction')(statements)) }}
{%- endmacro %}

{% macro duckdb__in_transaction(statements) -%}
    {{ return(statements) }}
{%- endmacro %}

{% macro snowflake__in_transaction(statements) -%}
    {{ return(snowflake_dml_explicit_transaction(statements)) }}
{%- endmacro %}
