with

sales as (

    select * from {{ ref('fct_sales') }}

),

orders as (

    select
        {{ surrogate_key(['transaction_id', 'customer_id']) }} as order_id,
        transaction_id,
        customer_id,
        min(transaction_date) as order_date,
        count(*) as line_count,
        cast(sum(quantity) as bigint) as quantity,
        cast(sum(gross_sales_amount) as decimal(18, 2)) as gross_sales_amount,
        cast(sum(discount_amount) as decimal(18, 2)) as discount_amount,
        cast(sum(net_sales_amount) as decimal(18, 2)) as net_sales_amount,
        cast(sum(gst_amount) as decimal(18, 2)) as gst_amount,
        cast(sum(delivery_amount) as decimal(18, 2)) as delivery_amount,
        cast(sum(total_amount) as decimal(18, 2)) as total_amount

    from sales

    group by transaction_id, customer_id

)

select * from orders
