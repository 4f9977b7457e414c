{# Snowflake's query tag of the node, which dbt asks for before each: the profile's JSON, the task that Airflow runs
   (it sets the variables) and the node. A limit on a statement's run time is set with it, where the warehouse's own
   shall not apply. #}
{% macro snowflake__set_query_tag() -%}
    {%- set tag = fromjson(target.query_tag or '{}', default={'tag': target.query_tag}) -%}
    {%- do tag.update(
        dag=env_var('AIRFLOW_CTX_DAG_ID', ''),
        task=env_var('AIRFLOW_CTX_TASK_ID', ''),
        run=env_var('AIRFLOW_CTX_DAG_RUN_ID', ''),
        node=model.unique_id
    ) -%}
    {%- set literal = tojson(tag) | replace('\\', '\\\\') | replace("'", "''") -%}
    {%- do run_query("alter session set query_tag = '" ~ literal ~ "'") -%}
    {%- set seconds = env_var('SNOWFLAKE_STATEMENT_TIMEOUT_SECONDS', '') -%}
    {%- if seconds -%}
        {%- do run_query('alter session set statement_timeout_in_seconds = ' ~ (seconds | int)) -%}
    {%- endif -%}
{%- endmacro %}
