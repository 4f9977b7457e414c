{# Schemas are named as configured; a developer's own target may put DBT_SCHEMA_PREFIX before them. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ env_var('DBT_SCHEMA_PREFIX', '') }}{{ (custom_schema_name or target.schema) | trim }}
{%- endmacro %}
