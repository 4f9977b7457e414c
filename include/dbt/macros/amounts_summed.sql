{# One row with the sum of each expression, exact on every warehouse and 0 where there is nothing. #}
{% macro amounts_summed(expressions, relation, rows) -%}
    select
    {%- for expression in expressions %}
        cast(coalesce(sum(cast({{ expression }} as decimal(28, 2))), 0) as decimal(38, 2)) as sum_{{ loop.index }}
        {{- ',' if not loop.last }}
    {%- endfor %}
    from {{ relation }}
    where {{ rows }}
{%- endmacro %}
