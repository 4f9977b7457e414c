{# The value of a key of a JSON object as text; null where the key is missing or null. #}
{% macro json_text(column, key) -%}
    {{ return(adapter.dispatch('json_text')(column, key)) }}
{%- endmacro %}

{% macro duckdb__json_text(column, key) -%}
    json_extract_string({{ column }}, '$.{{ key }}')
{%- endmacro %}

{% macro snowflake__json_text(column, key) -%}
    cast(get_path({{ column }}, '{{ key }}') as varchar)
{%- endmacro %}
