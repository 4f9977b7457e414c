{{
    config(
        materialized='incremental',
        incremental_strategy='replace_changed_rows',
        on_schema_change='append_new_columns',
        transient=false,
        cluster_by='transaction_date',
    )
}}

with

priced as (

    select * from {{ ref('int_sales_priced') }}

),

compared as (

    select *
    from priced
    where {{ compared_lines('priced', this) }}

),

lines as (

    select
        sales_line_id,
        transaction_id,
        transaction_occurrence,
        line_number,
        customer_id,
        source_customer_id,
        product_sku,
        category,
        transaction_date,
        quantity,
        avg_price,
        coupon_status,
        coupon_code,
        discount_rate,
        gst_rate,
        gross_sales_amount,
        discount_amount,
        cast(net_sales_amount as decimal(18, 2)) as net_sales_amount,
        gst_amount,
        delivery_amount,
        cast(total_amount as decimal(18, 2)) as total_amount,
        {{ categorize_sale_size('net_sales_amount') }} as sale_size_category,
        source_loaded_at

    from compared

)

select
    *,
    {{ row_hash() }} as row_hash,
    {{ get_current_timestamp() }} as processed_at

from lines
