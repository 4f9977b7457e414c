with

sales as (

    select * from {{ ref('fct_sales') }}

),

staged_sales as (

    select * from {{ ref('stg_online_sales') }}

),

orders as (

    select
        case
            when transaction_occurrence = 1 then {{ surrogate_key(['transaction_id', 'customer_id']) }}
            else {{ surrogate_key(['transaction_id', 'customer_id', 'transaction_occurrence']) }}
        end as order_id,
        transaction_id,
        transaction_occurrence,
        customer_id,
        min(transaction_date) as order_date,
        count(*) as line_count,
        count(distinct category) as category_count,
        max(case when coupon_status = 'Used' then 1 else 0 end) = 1 as has_used_coupon,
        cast(sum(quantity) as bigint) as quantity,
        cast(sum(gross_sales_amount) as decimal(18, 2)) as gross_sales_amount,
        cast(sum(discount_amount) as decimal(18, 2)) as discount_amount,
        cast(sum(net_sales_amount) as decimal(18, 2)) as net_sales_amount,
        cast(sum(gst_amount) as decimal(18, 2)) as gst_amount,
        cast(sum(delivery_amount) as decimal(18, 2)) as delivery_amount,
        cast(sum(total_amount) as decimal(18, 2)) as total_amount

    from sales

    group by transaction_id, transaction_occurrence, customer_id

),

-- All orders that the files know of: fct_sales may hold a range of days only.
known_orders as (

    select
        transaction_id,
        transaction_occurrence,
        customer_id,
        min(transaction_date) as order_date

    from staged_sales

    where customer_id != {{ unknown_customer_id() }}

    group by transaction_id, transaction_occurrence, customer_id

),

numbered as (

    select
        *,
        row_number() over (
            partition by customer_id
            order by order_date, transaction_id, transaction_occurrence
        ) as order_number,
        dense_rank() over (partition by customer_id order by order_date) as purchase_day_number

    from known_orders

)

select
    orders.*,
    numbered.order_number,
    numbered.order_number = 1 as is_first_order,
    numbered.purchase_day_number

from orders

left join numbered
    on
        orders.transaction_id = numbered.transaction_id
        and orders.transaction_occurrence = numbered.transaction_occurrence
        and orders.customer_id = numbered.customer_id
