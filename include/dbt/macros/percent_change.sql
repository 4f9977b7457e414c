{# Change from the old to the new value in per cent of the old; null where the old is 0. #}
{% macro percent_change(old, new) -%}
    cast(round(({{ new }} - {{ old }}) * 100 / nullif({{ old }}, 0), 4) as decimal(28, 4))
{%- endmacro %}
