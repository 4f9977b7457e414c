{#- full_refresh: false, since retention deletes old raw messages: --full-refresh would lose what only this table holds.
    To type rows again, run their range (vars start_date, end_date); to start from nothing, drop the table. #}
{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key='event_id',
        on_schema_change='append_new_columns',
        full_refresh=false,
        contract={'enforced': true},
    )
}}

with

messages as (

    select * from {{ ref('base_news_events') }}

),

new_messages as (

    {{ new_messages('messages', this) }}

),

ranked as (

    select
        *,
        {{ event_deduplication_rank() }} as deduplication_rank

    from new_messages

)

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
    kafka_topic,
    kafka_partition,
    kafka_offset,
    ingested_at,
    {{ get_current_timestamp() }} as processed_at

from ranked

where deduplication_rank = 1
