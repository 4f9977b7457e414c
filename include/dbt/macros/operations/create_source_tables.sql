{# on-run-start hook: makes the tables of the sources `streaming` and `outlook`, so that the models build on a warehouse
   that no consumer and no training has touched. A table that exists stays as it is. #}
{% macro create_source_tables() -%}
    {%- if execute and flags.WHICH in ('build', 'run', 'test', 'seed', 'snapshot', 'freshness') -%}
        {%- for source in graph.sources.values() | selectattr('source_name', 'in', ('streaming', 'outlook')) -%}
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
