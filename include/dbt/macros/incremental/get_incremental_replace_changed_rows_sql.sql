{# Incremental strategy `replace_changed_rows`: in one transaction, rows whose row_hash the model no longer gives go, and
   rows whose row_hash the table has not come; what is unchanged is not touched. Rows that are there twice (two runs at
   once on Snowflake) are replaced by one.

   With a range the model gives the rows of some transactions only, and only lines of these, and of those that have a
   line in the range, are compared. #}
{% macro get_incremental_replace_changed_rows_sql(arg_dict) -%}
    {%- set target, source = arg_dict['target_relation'], arg_dict['temp_relation'] -%}
    {%- set columns = get_quoted_csv(arg_dict['dest_columns'] | map(attribute='name')) -%}
    {%- set statements -%}
        delete from {{ target }}
        where
            row_hash is null
            or (
                (
                    row_hash not in (select row_hash from {{ source }})
                    or row_hash in (select row_hash from {{ target }} group by row_hash having count(*) > 1)
                )
                {%- if has_range() and has_row_hashes(target) %}
                and transaction_id in (
                    select transaction_id from {{ source }}
                    union all
                    select transaction_id from {{ target }} where {{ in_range('transaction_date') }}
                )
                {%- endif %}
            );

        insert into {{ target }} ({{ columns }})
        select {{ columns }}
        from {{ source }}
        where row_hash not in (select row_hash from {{ target }})
    {%- endset -%}
    {{ return(in_transaction(statements)) }}
{%- endmacro %}
