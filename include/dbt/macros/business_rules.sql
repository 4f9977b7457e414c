{# Size class of a sale: Small < 50 <= Medium < 200 <= Large < 500 <= Extra Large. #}
{% macro categorize_sale_size(amount) -%}
    case
        when {{ amount }} < 50 then 'Small'
        when {{ amount }} < 200 then 'Medium'
        when {{ amount }} < 500 then 'Large'
        when {{ amount }} >= 500 then 'Extra Large'
    end
{%- endmacro %}

{# Class of a customer by months since the first contact. #}
{% macro tenure_segment(months) -%}
    case
        when {{ months }} < 6 then 'New Customer'
        when {{ months }} <= 12 then 'Developing Customer'
        when {{ months }} <= 24 then 'Established Customer'
        when {{ months }} > 24 then 'Loyal Customer'
    end
{%- endmacro %}

{# Now, with its time zone. #}
{% macro get_current_timestamp() -%}
    cast({{ dbt.current_timestamp() }} as timestamp with time zone)
{%- endmacro %}

{# The day recency is measured from: the var, else the newest day in the data. Never today: the data may be old. #}
{% macro as_of_date(newest_day) -%}
    coalesce(cast({{ "'" ~ var('as_of_date') ~ "'" if var('as_of_date') else 'null' }} as date), {{ newest_day }})
{%- endmacro %}
