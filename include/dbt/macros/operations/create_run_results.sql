{# on-run-start hook: makes the table of run results, so that what reads it builds on an empty warehouse, too. #}
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
