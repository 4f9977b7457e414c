{# Volatility class of an hour by the range of its prices, (high - low) in per cent of the opening price:
   Low < 0.5 <= Medium < 1.5 <= High < 3 <= Extreme. #}
{% macro volatility_class(range_pct) -%}
    case
        when {{ range_pct }} < 0.5 then 'Low'
        when {{ range_pct }} < 1.5 then 'Medium'
        when {{ range_pct }} < 3 then 'High'
        when {{ range_pct }} >= 3 then 'Extreme'
    end
{%- endmacro %}
