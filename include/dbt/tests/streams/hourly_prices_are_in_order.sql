-- Low <= open, close <= high; range and class follow from these prices.
select
    coin,
    event_hour,
    open_price_usd,
    high_price_usd,
    low_price_usd,
    close_price_usd,
    range_pct,
    volatility_class
from {{ ref('fct_bitcoin_prices_hourly') }}
where
    open_price_usd not between low_price_usd and high_price_usd
    or close_price_usd not between low_price_usd and high_price_usd
    or abs(range_pct * open_price_usd - (high_price_usd - low_price_usd) * 100) > 0.0001 * open_price_usd
    or volatility_class != case
        when range_pct >= 3 then 'Extreme'
        when range_pct >= 1.5 then 'High'
        when range_pct >= 0.5 then 'Medium'
        else 'Low'
    end
