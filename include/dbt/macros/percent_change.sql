{# Change in per cent of the old value. #}
{% macro percent_change(old, new) -%}
    cast(round(({{ new }} - {{ old }}) * 100 / nullif({{ old }}, 0), 4) as decimal(28, 4))
{%- endmacro %}
