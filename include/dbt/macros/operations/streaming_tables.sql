{# The columns of each raw table of the streams and of the offsets up to which Kafka was read. #}
{% macro streaming_tables() -%}
    {%- set event_columns = [
        'event_id varchar not null',
        'event_timestamp timestamp with time zone not null',
        'payload ' ~ json_type() ~ ' not null',
        'kafka_topic varchar not null',
        'kafka_partition integer not null',
        'kafka_offset bigint not null',
        'kafka_timestamp timestamp with time zone',
        'ingested_at timestamp with time zone not null',
    ] -%}
    {{ return({
        'bitcoin_prices_raw': event_columns,
        'news_events_raw': event_columns,
        'kafka_offsets': [
            'kafka_topic varchar not null',
            'kafka_partition integer not null',
            'next_offset bigint not null',
            'updated_at timestamp with time zone not null',
            'primary key (kafka_topic, kafka_partition)',
        ],
    }) }}
{%- endmacro %}
