{# Prints a query's rows: dbt run-operation query --args '{sql: "select count(*) from {{ ref(''fct_sales'') }}"}' #}
{% macro query(sql) -%}
    {%- if execute -%}
        {%- do run_query(render(sql)).print_table(max_rows=100, max_columns=30, max_column_width=60) -%}
    {%- endif -%}
{%- endmacro %}
