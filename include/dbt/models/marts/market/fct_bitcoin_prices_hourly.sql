{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key='event_hour',
        on_schema_change='append_new_columns',
    )
}}

with

prices as (

    select * from {{ ref('stg_bitcoin') }}

),

rebuilt as (

    select *
    from prices
    where {{ changed_hours_filter(ref('stg_bitcoin'), this, 'observation_count') }}

),

ranked as (

    select
        *,
        row_number() over (
            partition by coin, event_hour
            order by event_timestamp asc, event_id asc
        ) as number_from_open,
        row_number() over (
            partition by coin, event_hour
            order by event_timestamp desc, event_id desc
        ) as number_from_close

    from rebuilt

),

hours as (

    select
        coin,
        event_hour,
        max(case when number_from_open = 1 then price_usd end) as open_price_usd,
        max(price_usd) as high_price_usd,
        min(price_usd) as low_price_usd,
        max(case when number_from_close = 1 then price_usd end) as close_price_usd,
        count(*) as observation_count,
        min(event_timestamp) as first_observed_at,
        max(event_timestamp) as last_observed_at,
        max(processed_at) as source_processed_at

    from ranked

    group by coin, event_hour

),

compared as (

    select
        *,
        {{ percent_change('open_price_usd', 'close_price_usd') }} as change_pct,
        {{ percent_change('open_price_usd', 'open_price_usd + high_price_usd - low_price_usd') }} as range_pct

    from hours

)

select
    coin,
    event_hour,
    open_price_usd,
    high_price_usd,
    low_price_usd,
    close_price_usd,
    change_pct,
    range_pct,
    {{ volatility_class('range_pct') }} as volatility_class,
    observation_count,
    first_observed_at,
    last_observed_at,
    source_processed_at,
    {{ get_current_timestamp() }} as processed_at

from compared
