{# Whether a var is true. #}
{% macro switch_var(name) -%}
    {{ return(checked_var(name, '(?i)true|false', 'true or false') | lower == 'true') }}
{%- endmacro %}
