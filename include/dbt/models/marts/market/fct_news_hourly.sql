{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key='event_hour',
        on_schema_change='append_new_columns',
    )
}}

with

news as (

    select * from {{ ref('stg_news') }}

),

rebuilt as (

    select
        event_id,
        event_hour,
        coalesce(category, 'uncategorized') as category,
        source_name,
        headline || ' ' || coalesce(description, '') as full_text,
        processed_at
    from news
    where {{ changed_hours_filter(ref('stg_news'), this, 'article_count') }}

),

hours as (

    select
        event_hour,
        category,
        count(*) as article_count,
        count(distinct source_name) as source_count,
        count(case when {{ mentions_crypto('full_text') }} then event_id end) as crypto_mention_count,
        max(processed_at) as source_processed_at

    from rebuilt

    group by event_hour, category

)

select
    event_hour,
    category,
    article_count,
    source_count,
    crypto_mention_count,
    cast(crypto_mention_count * 1.0 / article_count as decimal(9, 6)) as crypto_mention_share,
    source_processed_at,
    {{ get_current_timestamp() }} as processed_at

from hours
