-- The live views hold every staged event as processed, and show as new only events that are not staged.
with

counted as (

    {% for stream, live in {'stg_bitcoin': 'bitcoin_prices_live', 'stg_news': 'news_live'}.items() -%}
    select
        '{{ live }}' as live_view,
        (select count(*) from {{ ref(stream) }}) as staged_count,
        (
            select count(*) from {{ ref(live) }}
            where is_processed
        ) as processed_count,
        (
            select count(*)
            from {{ ref(live) }} as live
            inner join {{ ref(stream) }} as staged on live.event_id = staged.event_id
            where not live.is_processed
        ) as repeated_count
    {% if not loop.last -%}
    union all
    {% endif -%}
    {% endfor %}
)

select *
from counted
where staged_count != processed_count or repeated_count != 0
