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

{# Class of a customer by days since the last purchase. #}
{% macro activity_status(days) -%}
    case
        when {{ days }} <= 30 then 'Active'
        when {{ days }} <= 90 then 'Recent'
        when {{ days }} <= 180 then 'Dormant'
        else 'Inactive'
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

{# Change in per cent of the old value. #}
{% macro percent_change(old, new) -%}
    cast(round(({{ new }} - {{ old }}) * 100 / nullif({{ old }}, 0), 4) as decimal(28, 4))
{%- endmacro %}

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

{# Whether a text (not null) has one of the words of crypto currencies in it, in any case: `crypto` and `Bitcoin's`,
   not `cryptography`. #}
{% macro mentions_crypto(text) -%}
    {{ matches_pattern('lower(' ~ text ~ ')', "'(^|[^a-z0-9_])(" ~ crypto_words() | join('|') ~ ")([^a-z0-9_]|$)'") }}
{%- endmacro %}

{% macro crypto_words() -%}
    {{ return(['altcoins?', 'bitcoins?', 'blockchains?', 'btc', 'cryptos?', 'cryptocurrency', 'cryptocurrencies',
               'ethereum', 'stablecoins?']) }}
{%- endmacro %}
