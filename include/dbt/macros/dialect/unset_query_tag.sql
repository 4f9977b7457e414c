{# Nothing to put back: the next node sets its own. #}
{% macro snowflake__unset_query_tag(original_query_tag) -%}
{%- endmacro %}
