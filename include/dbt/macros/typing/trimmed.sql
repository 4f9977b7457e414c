{# A text without blanks, tabs, line breaks and no-break spaces at its ends. #}
{% macro trimmed(text) -%}
    trim({{ text }}, ' ' || chr(9) || chr(10) || chr(13) || chr(160))
{%- endmacro %}
