{# A text without outer blanks, tabs and the like; null where it is one of empty_texts() or the \N of a database's dump,
   whose backslash Snowflake would take for an escape. #}
{% macro text_value(column) -%}
    {%- set text = trimmed(column) -%}
    case
        when lower({{ text }}) not in ('{{ empty_texts() | join("', '") }}', chr(92) || 'n') then {{ text }}
    end
{%- endmacro %}
