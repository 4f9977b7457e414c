{# Incremental strategy `replace_range`: deletes the range of rebuild_filter and fills it in one transaction, so that
   rows which no longer exist go, too (delete+insert by key would keep them). The model names its source and date column
   in meta.rebuild. #}
{% macro get_incremental_replace_range_sql(arg_dict) -%}
    {%- set rebuild = config.get('meta')['rebuild'] -%}
    {%- set columns = get_quoted_csv(arg_dict['dest_columns'] | map(attribute='name')) -%}
    {%- set statements -%}
        delete from {{ arg_dict['target_relation'] }}
        where {{ rebuild_filter(rebuild['date_column'], ref(rebuild['source']), arg_dict['target_relation']) }};

        insert into {{ arg_dict['target_relation'] }} ({{ columns }})
        select {{ columns }}
        from {{ arg_dict['temp_relation'] }}
    {%- endset -%}
    {{ return(in_transaction(statements)) }}
{%- endmacro %}
