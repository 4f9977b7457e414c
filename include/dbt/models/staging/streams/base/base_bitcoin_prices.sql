with

source as (

    select * from {{ source('streaming', 'bitcoin_prices_raw') }}

),

typed as (

    select
        event_id,
        event_timestamp,
        {{ utc_hour('event_timestamp') }} as event_hour,
        {{ json_text('payload', 'coin') }} as coin,
        {{ dbt.safe_cast(json_text('payload', 'price_usd'), 'decimal(18, 8)') }} as price_usd,
        {{ dbt.safe_cast(json_text('payload', 'change_24h_pct'), 'decimal(18, 8)') }} as change_24h_pct,
        {{ dbt.safe_cast(json_text('payload', 'fetched_at'), 'timestamp with time zone') }} as fetched_at,
        kafka_topic,
        kafka_partition,
        kafka_offset,
        ingested_at

    from source

)

select * from typed
