{# Nothing to restore: the next node sets its own tag. #}
{% macro snowflake__unset_query_tag(original_query_tag) -%}
{%- endmacro %}
