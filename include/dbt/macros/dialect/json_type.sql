{# The type of a raw column that holds JSON. DuckDB would try each compression of text at every checkpoint; zstd alone
   takes a third of the time and of the space. #}
{% macro json_type() -%}
    {{ return(adapter.dispatch('json_type')()) }}
{%- endmacro %}

{% macro duckdb__json_type() -%}
    json using compression zstd
{%- endmacro %}

{% macro snowflake__json_type() -%}
    variant
{%- endmacro %}
