{# Whether the model has rows of earlier runs; no where the warehouse may not be asked (dbt compile --no-introspect). #}
{% macro has_history() -%}
    {{ return(flags.INTROSPECT is not sameas false and is_incremental()) }}
{%- endmacro %}
