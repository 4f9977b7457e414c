{# Rank of a message among those of its event: 1 for the first to arrive, which is the one that counts. #}
{% macro event_deduplication_rank() -%}
    row_number() over (
        partition by event_id
        order by ingested_at asc, kafka_partition asc, kafka_offset asc
    )
{%- endmacro %}
