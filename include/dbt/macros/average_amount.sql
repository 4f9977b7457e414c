{# An amount of at least 0 per one of `count`, to the cent, half away from zero; null where the count is 0. Through whole
   cents: a decimal quotient would be floating point in DuckDB. #}
{% macro average_amount(amount, count) -%}
    cast(
        {{ integer_quotient(
            'cast(' ~ amount ~ ' * 200 as bigint) + nullif(' ~ count ~ ', 0)',
            'nullif(' ~ count ~ ', 0) * 2'
        ) }} * 0.01 as decimal(18, 2)
    )
{%- endmacro %}
