{# DuckDB lacks dbt's own: without it, safe_cast would be a plain cast that fails on the first bad value. #}
{% macro duckdb__safe_cast(field, type) -%}
    try_cast({{ field }} as {{ type }})
{%- endmacro %}
