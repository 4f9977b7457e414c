-- The rows and the offset of a partition move in one transaction: no message is stored at or above its next offset.
{% set raw_tables = ['bitcoin_prices_raw', 'news_events_raw'] -%}

with

stored as (

    {% for raw in raw_tables -%}
    select
        kafka_topic,
        kafka_partition,
        max(kafka_offset) as last_offset
    from {{ source('streaming', raw) }}
    group by 1, 2
    {% if not loop.last -%}
    union all
    {% endif -%}
    {% endfor %}
)

select
    stored.kafka_topic,
    stored.kafka_partition,
    stored.last_offset,
    offsets.next_offset
from stored
left join {{ source('streaming', 'kafka_offsets') }} as offsets
    on
        stored.kafka_topic = offsets.kafka_topic
        and stored.kafka_partition = offsets.kafka_partition
where offsets.next_offset is null or stored.last_offset >= offsets.next_offset
