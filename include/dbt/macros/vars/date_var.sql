{# A var that holds a day, as YYYY-MM-DD; '' where it is empty. #}
{% macro date_var(name) -%}
    {{ return(checked_var(name, '(' ~ day_pattern() ~ ')?', 'empty or a day as YYYY-MM-DD')) }}
{%- endmacro %}
