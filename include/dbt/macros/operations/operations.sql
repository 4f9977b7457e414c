{# dbt run-operation get_row_count --args '{table_name: fct_sales}' #}
{% macro get_row_count(table_name) -%}
    {%- if execute -%}
        {%- set found = graph.nodes.values() | selectattr('name', 'equalto', table_name)
            | selectattr('resource_type', 'in', ['model', 'seed', 'snapshot']) | list -%}
        {%- if not found -%}
            {{ exceptions.raise_compiler_error("No model, seed or snapshot is named '" ~ table_name ~ "'.") }}
        {%- endif -%}
        {%- set relation = api.Relation.create(
            database=found[0].database, schema=found[0].schema, identifier=found[0].alias) -%}
        {%- set row_count = run_query('select count(*) from ' ~ relation).columns[0].values()[0] -%}
        {{ log(table_name ~ ': ' ~ row_count ~ ' rows', info=true) }}
        {{ return(row_count) }}
    {%- endif -%}
{%- endmacro %}


{# dbt run-operation query --args '{sql: "select count(*) from {{ ref(''fct_sales'') }}"}' #}
{% macro query(sql) -%}
    {%- if execute -%}
        {%- do run_query(render(sql)).print_table(max_rows=100, max_columns=30, max_column_width=60) -%}
    {%- endif -%}
{%- endmacro %}


{# on-run-start hook: the table of the run results, so that what reads it builds on an empty warehouse, too. #}
{% macro create_run_results() -%}
    {%- if execute and flags.WHICH in ('build', 'run', 'test', 'seed', 'snapshot') -%}
        {%- if not adapter.check_schema_exists(target.database, run_results_relation().schema) -%}
            {%- do adapter.create_schema(run_results_relation().include(identifier=false)) -%}
        {%- endif -%}
        {%- do run_query(
            'create table if not exists ' ~ run_results_relation() ~ ' (invocation_id varchar, node_id varchar,'
            ~ ' resource_type varchar, status varchar, execution_seconds decimal(18, 3), rows_affected bigint,'
            ~ ' message varchar, completed_at timestamp with time zone)') -%}
    {%- endif -%}
{%- endmacro %}


{# on-run-end hook: one row per node and run, kept for ever; fct_dbt_node_health finds slow and flaky nodes in it. #}
{% macro record_run_results(results) -%}
    {%- set relevant = results | selectattr('node', 'defined') | list -%}
    {%- if execute and flags.WHICH in ('build', 'run', 'test', 'seed', 'snapshot') and relevant -%}
        insert into {{ run_results_relation() }}
        values
        {% for result in relevant -%}
            (
                '{{ invocation_id }}',
                '{{ result.node.unique_id }}',
                '{{ result.node.resource_type }}',
                '{{ result.status }}',
                {{ result.execution_time | round(3) }},
                {{ result.adapter_response.get('rows_affected') or 'null' }},
                '{{ (result.message or '') | truncate(500) | replace('\\', '/') | replace("'", "''") }}',
                {{ get_current_timestamp() }}
            ){{ ',' if not loop.last }}
        {%- endfor %}
    {%- endif -%}
{%- endmacro %}

{% macro run_results_relation() -%}
    {{ return(api.Relation.create(
        database=target.database, schema=generate_schema_name('raw', none) | trim, identifier='dbt_run_results')) }}
{%- endmacro %}
