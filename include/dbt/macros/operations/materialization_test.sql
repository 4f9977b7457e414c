{# In place of dbt's own: a data test counts its failing rows first, and only where there are some are they stored. dbt
   writes and drops a table for each test in every run, which takes as long as the test. Rows of an earlier run go.
   Counting needs no transaction, and no second file of the query beside the compiled one. #}
{% materialization test, default %}
    {%- set failing_rows = get_limit_subquery_sql(sql, config.get('limit')) -%}
    {%- set counted = get_test_sql(
        failing_rows, config.get('fail_calc'), config.get('warn_if'), config.get('error_if'), limit=none
    ) -%}
    {%- set response, table = adapter.execute(counted, fetch=true) -%}
    {%- do store_result('main', response=response, agate_table=table) -%}
    {%- set relations = [] -%}
    {%- if should_store_failures() -%}
        {%- set stored = adapter.get_relation(database=database, schema=schema, identifier=model['alias']) -%}
        {%- if stored -%}
            {%- do adapter.drop_relation(stored) -%}
        {%- endif -%}
        {%- if load_result('main')['data'][0][0] -%}
            {%- set kept_as = config.get('store_failures_as') or 'table' -%}
            {%- set relation = api.Relation.create(database, schema, model['alias'], type=kept_as) -%}
            {% call statement(auto_begin=True) -%}
                {{ get_create_sql(relation, failing_rows) }}
            {%- endcall %}
            {%- do relations.append(relation) -%}
        {%- endif -%}
        {%- if stored or relations -%}
            {%- do adapter.commit() -%}
        {%- endif -%}
    {%- endif -%}
    {{ return({'relations': relations}) }}
{% endmaterialization %}
