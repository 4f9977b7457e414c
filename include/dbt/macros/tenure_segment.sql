{# Class of a customer by months since first contact: New < 6, Developing 6-12, Established 13-24, Loyal > 24. #}
{% macro tenure_segment(months) -%}
    case
        when {{ months }} < 6 then 'New Customer'
        when {{ months }} <= 12 then 'Developing Customer'
        when {{ months }} <= 24 then 'Established Customer'
        when {{ months }} > 24 then 'Loyal Customer'
    end
{%- endmacro %}
