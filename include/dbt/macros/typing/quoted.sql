{# A value as it stands in the file, in quotes, for a reject_reason. #}
{% macro quoted(column) -%}
    '"' || coalesce({{ column }}, '') || '"'
{%- endmacro %}
