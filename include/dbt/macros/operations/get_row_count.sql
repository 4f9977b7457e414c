{# Logs and returns the number of rows: dbt run-operation get_row_count --args '{table_name: fct_sales}' #}
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
