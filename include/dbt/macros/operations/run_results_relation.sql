{# The table of run results. #}
{% macro run_results_relation() -%}
    {{ return(api.Relation.create(
        database=target.database, schema=generate_schema_name('raw', none) | trim, identifier='dbt_run_results')) }}
{%- endmacro %}
