-- Vertical reconciliation: every event in the raw tables is in staging, once.
-- Messages behind the last staged one of their partition do not count: they may have come after the model ran.
-- A missing event arrived more than streaming_lookback_hours late: run its range (start_date, end_date).
with

{% for stream, raw in {'stg_bitcoin': 'bitcoin_prices_raw', 'stg_news': 'news_events_raw'}.items() -%}
{{ stream }}_reached as (

    select
        kafka_topic,
        kafka_partition,
        max(kafka_offset) as last_offset

    from {{ ref(stream) }}

    group by 1, 2

),

{{ stream }}_expected as (

    select distinct messages.event_id

    from {{ source('streaming', raw) }} as messages

    inner join {{ stream }}_reached
        on
            messages.kafka_topic = {{ stream }}_reached.kafka_topic
            and messages.kafka_partition = {{ stream }}_reached.kafka_partition
            and messages.kafka_offset <= {{ stream }}_reached.last_offset

),

{{ stream }}_found as (

    select
        event_id,
        count(*) as row_count

    from {{ ref(stream) }}

    group by 1

),

{% endfor -%}
compared as (

    {% for stream in ['stg_bitcoin', 'stg_news'] -%}
    select
        '{{ stream }}' as stream,
        {{ stream }}_expected.event_id,
        coalesce({{ stream }}_found.row_count, 0) as row_count
    from {{ stream }}_expected
    left join {{ stream }}_found on {{ stream }}_expected.event_id = {{ stream }}_found.event_id
    {% if not loop.last -%}
    union all
    {% endif -%}
    {% endfor %}
)

select *
from compared
where row_count != 1
