{# A text without outer blanks; null where it is one of empty_texts(). #}
{% macro text_value(column) -%}
    case when lower(trim({{ column }})) not in ('{{ empty_texts() | join("', '") }}') then trim({{ column }}) end
{%- endmacro %}
