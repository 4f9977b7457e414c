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
