{# Whether the model has rows of earlier runs; false where dbt may not ask the warehouse (--no-introspect). #}
{% macro has_history() -%}
    {{ return(flags.INTROSPECT is not sameas false and is_incremental()) }}
{%- endmacro %}
