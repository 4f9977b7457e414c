{# A category's name without outer and repeated blanks; null where it is empty. #}
{% macro category_name(column) -%}
    nullif(trim({{ squeeze_blanks(column) }}), '')
{%- endmacro %}
