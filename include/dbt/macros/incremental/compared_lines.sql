{# Which lines of `priced` an incremental run of `facts` compares, as a condition: all of them; with a range those of the
   transactions that have, or had, a line in it, since delivery is one charge for all lines of a transaction. Where the
   facts hold another use of such a number outside the range, all of its uses are compared: they may be told apart
   differently now. #}
{% macro compared_lines(priced, facts) -%}
    {%- if not has_range() or (has_history() and not has_row_hashes(facts)) -%}
        true
    {%- else -%}
        {%- set in_range_now -%}
            select transaction_id, transaction_occurrence from {{ priced }} where {{ in_range('transaction_date') }}
            {%- if has_history() %}
            union all
            select transaction_id, transaction_occurrence from {{ facts }} where {{ in_range('transaction_date') }}
            {%- endif -%}
        {%- endset -%}
        (transaction_id, transaction_occurrence) in ({{ in_range_now }})
        {%- if has_history() %}
        or transaction_id in (
            select transaction_id
            from {{ facts }}
            where
                not {{ in_range('transaction_date') }}
                and transaction_id in (select transaction_id from ({{ in_range_now }}) as touched)
        )
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}
