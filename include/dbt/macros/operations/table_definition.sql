{# The columns of a source's table and their primary key, from data_type and constraints in its .yml. #}
{% macro table_definition(source) -%}
    {%- set definitions, key = [], [] -%}
    {%- for column in source.columns.values() -%}
        {%- set constraints = column.constraints | map(attribute='type') | list -%}
        {%- set data_type = json_type() if column.data_type == 'json' else column.data_type -%}
        {%- do definitions.append(
            column.name ~ ' ' ~ data_type ~ (' not null' if 'not_null' in constraints else '')) -%}
        {%- if 'primary_key' in constraints -%}
            {%- do key.append(column.name) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if key -%}
        {%- do definitions.append('primary key (' ~ key | join(', ') ~ ')') -%}
    {%- endif -%}
    {{ return(definitions | join(', ')) }}
{%- endmacro %}
