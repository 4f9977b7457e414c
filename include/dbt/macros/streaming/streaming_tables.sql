{# on-run-start hook: makes the tables that the consumer writes to where it has not made them yet, so that the models
   build on a warehouse that no consumer has touched. What is there stays as it is.
   The consumer makes the same ones (streaming_workers/sinks). #}
{% macro create_streaming_tables() -%}
    {%- if execute and flags.WHICH in ('build', 'run', 'test', 'seed', 'snapshot', 'freshness') -%}
        {%- for name, columns in streaming_tables().items() -%}
            {%- set table = api.Relation.create(
                database=target.database, schema=generate_schema_name('streaming', none) | trim, identifier=name) -%}
            {%- if not adapter.check_schema_exists(table.database, table.schema) -%}
                {%- do adapter.create_schema(table.include(identifier=false)) -%}
            {%- endif -%}
            {%- if load_relation(table) is none -%}
                {%- do run_query('create table if not exists ' ~ table ~ ' (' ~ columns | join(', ') ~ ')') -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}

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
