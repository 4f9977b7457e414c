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

    from numbered

    where arrival_number = 1

)

select * from unioned
