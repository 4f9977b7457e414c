with

history as (

    select * from {{ ref('stg_news') }}

),

messages as (

    select * from {{ ref('base_news_events') }}

),

new_messages as (

    {{ unprocessed_messages('messages', 'history') }}

),

ranked as (

    select
        *,
        {{ event_deduplication_rank() }} as deduplication_rank

    from new_messages

),

unioned as (

    select
        event_id,
        event_timestamp,
        event_hour,
        source_name,
        headline,
        description,
        url,
        author,
        category,
        fetched_at,
        ingested_at,
        true as is_processed

    from history

    union all

    select
        event_id,
        event_timestamp,
        event_hour,
        source_name,
        headline,
        description,
        url,
        author,
        category,
        fetched_at,
        ingested_at,
        false as is_processed

    from ranked

    where deduplication_rank = 1

)

select * from unioned
