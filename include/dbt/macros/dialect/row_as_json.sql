{# A row's columns as one JSON text, to show what was rejected. #}
{% macro row_as_json(columns) -%}
    {{ return(adapter.dispatch('row_as_json')(columns)) }}
{%- endmacro %}

{% macro duckdb__row_as_json(columns) -%}
    cast(json_object({% for column in columns %}'{{ column }}', {{ column }}{{ ', ' if not loop.last }}{% endfor %}) as varchar)
{%- endmacro %}

{% macro snowflake__row_as_json(columns) -%}
    to_json(object_construct_keep_null({% for column in columns %}'{{ column }}', {{ column }}{{ ', ' if not loop.last }}{% endfor %}))
{%- endmacro %}
