{# Snowflake's query history: dbt asks for the tag before each node. It is the profile's JSON and the node; a limit on a
   statement's time goes with it, where the warehouse's own is not to hold. #}
{% macro snowflake__set_query_tag() -%}
    {%- set tag = fromjson(target.query_tag or '{}', default={'tag': target.query_tag}) -%}
    {%- do tag.update(node=model.unique_id) -%}
    {%- set literal = tojson(tag) | replace('\\', '\\\\') | replace("'", "''") -%}
    {%- do run_query("alter session set query_tag = '" ~ literal ~ "'") -%}
    {%- set seconds = env_var('SNOWFLAKE_STATEMENT_TIMEOUT_SECONDS', '') -%}
    {%- if seconds -%}
        {%- do run_query('alter session set statement_timeout_in_seconds = ' ~ (seconds | int)) -%}
    {%- endif -%}
{%- endmacro %}
