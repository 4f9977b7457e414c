-- The rows and the offset of a partition move together: no message is stored at or above its next offset.
{% set raw_tables = ['bitcoin_prices_raw', 'news_events_raw'] -%}

with

stored as (

    {% for raw in raw_tables -%}
    select
        raw.kafka_topic,
        raw.kafka_partition,
        offsets.next_offset,
        max(raw.kafka_offset) as last_offset
    from {{ source('streaming', raw) }} as raw
    left join {{ source('streaming', 'kafka_offsets') }} as offsets
        on
            raw.kafka_topic = offsets.kafka_topic
            and raw.kafka_partition = offsets.kafka_partition
    where {{ is_settled('raw.ingested_at', 'offsets.updated_at') }}
    group by 1, 2, 3
    {% if not loop.last -%}
    union all
    {% endif -%}
    {% endfor %}
)

select
    kafka_topic,
    kafka_partition,
    last_offset,
    next_offset
from stored
where next_offset is null or last_offset >= next_offset
