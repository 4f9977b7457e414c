with

source as (

    select * from {{ ref('base_online_sales') }}

),

renamed as (

    select
        transaction_id,
        transaction_occurrence,
        line_number,
        customer_id,
        source_customer_id,
        transaction_date,
        product_sku,
        product_name,
        category,
        quantity,
        avg_price,
        delivery_charge_amount,
        coupon_status,
        loaded_at

    from source

    where reject_reason is null

)

select * from renamed
