{# A quotient in floating point on every warehouse; null where the divisor is 0. #}
{% macro ratio(dividend, divisor) -%}
    cast({{ dividend }} as double precision) / nullif(cast({{ divisor }} as double precision), 0)
{%- endmacro %}
