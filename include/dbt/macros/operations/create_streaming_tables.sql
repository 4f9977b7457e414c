{# on-run-start hook: makes the tables of the source `streaming` where the consumer has not made them yet, so that the
   models build on a warehouse that no consumer has touched. A table that exists stays as it is. #}
{% macro create_streaming_tables() -%}
    {%- if execute and flags.WHICH in ('build', 'run', 'test', 'seed', 'snapshot', 'freshness') -%}
        {%- for source in graph.sources.values() | selectattr('source_name', 'equalto', 'streaming') -%}
            {%- set table = api.Relation.create(
                database=source.database, schema=source.schema, identifier=source.identifier) -%}
            {%- if not adapter.check_schema_exists(table.database, table.schema) -%}
                {%- do adapter.create_schema(table.include(identifier=false)) -%}
            {%- endif -%}
            {%- if load_relation(table) is none -%}
                {%- do run_query('create table if not exists ' ~ table ~ ' (' ~ table_definition(source) ~ ')') -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}
