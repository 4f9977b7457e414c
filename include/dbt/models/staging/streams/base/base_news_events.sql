with

source as (

    select * from {{ source('streaming', 'news_events_raw') }}

),

typed as (

    select
        event_id,
        event_timestamp,
        {{ utc_hour('event_timestamp') }} as event_hour,
        {{ json_text('payload', 'source_name') }} as source_name,
        {{ json_text('payload', 'headline') }} as headline,
        {{ json_text('payload', 'description') }} as description,
        {{ json_text('payload', 'url') }} as url,
        {{ json_text('payload', 'author') }} as author,
        {{ json_text('payload', 'category') }} as category,
        {{ dbt.safe_cast(json_text('payload', 'fetched_at'), 'timestamp with time zone') }} as fetched_at,
        kafka_topic,
        kafka_partition,
        kafka_offset,
        ingested_at

    from source

)

select * from typed
