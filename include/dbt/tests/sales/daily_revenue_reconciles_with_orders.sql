-- The daily mart holds every order's revenue once, and each order's customer as either new or returning.
with

daily as (

    select
        cast(coalesce(sum(revenue_amount), 0) as decimal(18, 2)) as revenue_amount,
        coalesce(sum(order_count), 0) as order_count,
        coalesce(sum(new_customer_count), 0) as new_customer_count

    from {{ ref('fct_marketing_performance_daily') }}

),

orders as (

    select
        cast(coalesce(sum(net_sales_amount), 0) as decimal(18, 2)) as revenue_amount,
        count(*) as order_count,
        count(distinct customer_id) as new_customer_count

    from {{ ref('fct_orders') }}

)

select
    daily.revenue_amount,
    orders.revenue_amount as expected_revenue_amount,
    daily.order_count,
    orders.order_count as expected_order_count
from daily
cross join orders
where
    daily.revenue_amount != orders.revenue_amount
    or daily.order_count != orders.order_count
    or daily.new_customer_count != orders.new_customer_count
