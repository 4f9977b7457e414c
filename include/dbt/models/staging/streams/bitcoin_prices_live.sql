with

history as (

    select * from {{ ref('stg_bitcoin') }}

),

messages as (

    select * from {{ ref('base_bitcoin_prices') }}

),

new_messages as (

    {{ unprocessed_messages('messages', 'history') }}

),

numbered as (

    select
        *,
        {{ arrival_number() }} as arrival_number

    from new_messages

),

unioned as (

    select
        event_id,
        event_timestamp,
        event_hour,
        coin,
        price_usd,
        change_24h_pct,
        fetched_at,
        ingested_at,
        true as is_processed

    from history

    union all

    select
        event_id,
        event_timestamp,
        event_hour,
        coin,
        price_usd,
        change_24h_pct,
        fetched_at,
        ingested_at,
        false as is_processed

    from numbered

    where arrival_number = 1

)

select * from unioned
