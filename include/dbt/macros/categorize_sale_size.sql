{# Size class of a sale: Small < 50 <= Medium < 200 <= Large < 500 <= Extra Large. #}
{% macro categorize_sale_size(amount) -%}
    case
        when {{ amount }} < 50 then 'Small'
        when {{ amount }} < 200 then 'Medium'
        when {{ amount }} < 500 then 'Large'
        when {{ amount }} >= 500 then 'Extra Large'
    end
{%- endmacro %}
