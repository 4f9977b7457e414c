-- Horizontal reconciliation: fct_news_hourly counts every staged article once.
with

expected as (

    select
        event_hour,
        count(*) as article_count

    from {{ ref('stg_news') }}

    group by event_hour

),

found as (

    select
        event_hour,
        sum(article_count) as article_count

    from {{ ref('fct_news_hourly') }}

    group by event_hour

)

select
    coalesce(found.event_hour, expected.event_hour) as event_hour,
    found.article_count,
    expected.article_count as staged_article_count
from found
full outer join expected on found.event_hour = expected.event_hour
where found.article_count is distinct from expected.article_count
