{# A var that holds a number of at least 0; with `whole` an integer. #}
{% macro number_var(name, whole=false) -%}
    {{ return(
        checked_var(name, '[0-9]{1,18}', 'a whole number of at least 0')
        if whole
        else checked_var(name, '[0-9]{1,18}([.][0-9]{1,18})?(e-?[0-9]{1,2})?', 'a number of at least 0')
    ) }}
{%- endmacro %}
