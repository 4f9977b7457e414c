{{
    config(
        materialized='incremental',
        incremental_strategy='replace_range',
        on_schema_change='append_new_columns',
        transient=false,
        cluster_by='transaction_date',
        meta={'rebuild': {'source': 'int_sales_priced', 'date_column': 'transaction_date'}},
    )
}}

with

priced as (

    select * from {{ ref('int_sales_priced') }}

),

rebuilt as (

    select *
    from priced
    where {{ rebuild_filter('transaction_date', ref('int_sales_priced'), this) }}

)

select
    sales_line_id,
    transaction_id,
    customer_id,
    product_sku,
    transaction_date,
    quantity,
    avg_price,
    coupon_status,
    gross_sales_amount,
    discount_amount,
    cast(net_sales_amount as decimal(18, 2)) as net_sales_amount,
    gst_amount,
    delivery_amount,
    cast(total_amount as decimal(18, 2)) as total_amount,
    {{ categorize_sale_size('net_sales_amount') }} as sale_size_category,
    source_loaded_at,
    {{ get_current_timestamp() }} as processed_at

from rebuilt
