{# The English names of the months, in order. #}
{% macro month_names() -%}
    {{ return(['January', 'February', 'March', 'April', 'May', 'June', 'July',
               'August', 'September', 'October', 'November', 'December']) }}
{%- endmacro %}
