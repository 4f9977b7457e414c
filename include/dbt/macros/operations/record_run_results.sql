{# on-run-end hook: appends one row per node of the run (nothing runs for an exposure); fct_dbt_node_health finds slow and flaky nodes in them. #}
{% macro record_run_results(results) -%}
    {%- set relevant = results | selectattr('node', 'defined')
        | rejectattr('node.resource_type', 'equalto', 'exposure') | list -%}
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
