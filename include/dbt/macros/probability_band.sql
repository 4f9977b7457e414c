{# Band of the probability that a customer buys again: High >= 0.5, Medium >= 0.25, else Low. #}
{% macro probability_band(probability) -%}
    case
        when {{ probability }} >= 0.5 then 'High'
        when {{ probability }} >= 0.25 then 'Medium'
        else 'Low'
    end
{%- endmacro %}
