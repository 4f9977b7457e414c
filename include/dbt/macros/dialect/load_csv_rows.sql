{# Each column of a seed is one parameter. dbt-duckdb lets DuckDB read the file, which profiles.yml forbids, or binds
   value by value: 20 s for 30,000 rows instead of one. #}
{% macro duckdb__load_csv_rows(model, agate_table) -%}
    {%- set agate_table = adapter.convert_datetimes_to_strs(agate_table) -%}
    {%- set columns, parameters = [], [] -%}
    {%- for column in agate_table.columns -%}
        {%- do columns.append(column.values() | list) -%}
        {%- do parameters.append('unnest(?)') -%}
    {%- endfor -%}
    {%- set sql -%}
        insert into {{ this.render() }} ({{ get_seed_column_quoted_csv(model, agate_table.column_names) }})
        select {{ parameters | join(', ') }}
    {%- endset -%}
    {%- if agate_table.rows | length > 0 -%}
        {%- do adapter.add_query(sql, bindings=columns, abridge_sql_log=true) -%}
    {%- endif -%}
    {{ return(sql) }}
{%- endmacro %}
