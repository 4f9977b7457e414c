{# The customer number that stands for customers who are not known. #}
{% macro unknown_customer_id() -%}
    -1
{%- endmacro %}
