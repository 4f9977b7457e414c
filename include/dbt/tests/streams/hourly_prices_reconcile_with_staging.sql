-- Horizontal reconciliation: fct_bitcoin_prices_hourly covers every staged price, and no other.
with

expected as (

    select
        coin,
        event_hour,
        count(*) as observation_count,
        max(price_usd) as high_price_usd,
        min(price_usd) as low_price_usd,
        min(event_timestamp) as first_observed_at,
        max(event_timestamp) as last_observed_at

    from {{ ref('stg_bitcoin') }}

    group by 1, 2

),

found as (

    select * from {{ ref('fct_bitcoin_prices_hourly') }}

)

select
    coalesce(found.coin, expected.coin) as coin,
    coalesce(found.event_hour, expected.event_hour) as event_hour,
    found.observation_count,
    expected.observation_count as staged_observation_count
from found
full outer join expected
    on
        found.coin = expected.coin
        and found.event_hour = expected.event_hour
where
    found.observation_count is distinct from expected.observation_count
    or found.high_price_usd is distinct from expected.high_price_usd
    or found.low_price_usd is distinct from expected.low_price_usd
    or found.first_observed_at is distinct from expected.first_observed_at
    or found.last_observed_at is distinct from expected.last_observed_at
