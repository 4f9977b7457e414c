{# Post-hook: tags each column whose meta says pii, with DBT_PII_TAG, once include/snowflake/governance.sql has made it. #}
{% macro tag_personal_data() -%}
    {{ return(adapter.dispatch('tag_personal_data')()) }}
{%- endmacro %}

{% macro duckdb__tag_personal_data() -%}{%- endmacro %}

{% macro snowflake__tag_personal_data() -%}
    {%- set tag = env_var('DBT_PII_TAG', '') -%}
    {%- if execute and tag -%}
        {%- set kind = 'view' if config.get('materialized') == 'view' else 'table' -%}
        {%- for column in model.columns.values() if column.meta.get('pii') -%}
            {%- do run_query(
                'alter ' ~ kind ~ ' ' ~ this ~ ' modify column ' ~ column.name ~ ' set tag ' ~ tag
                ~ " = '" ~ column.meta.pii ~ "'") -%}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}
