{# A value as it stands in the file, for the reason of a rejection. #}
{% macro quoted(column) -%}
    '"' || coalesce({{ column }}, '') || '"'
{%- endmacro %}
