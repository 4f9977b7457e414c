-- The daily and the monthly mart hold every order and its revenue once, and, unless only a range was built, each known
-- customer of the files as first seen once.
with

daily as (

    select
        cast(coalesce(sum(revenue_amount), 0) as decimal(18, 2)) as revenue_amount,
        coalesce(sum(order_count), 0) as order_count,
        coalesce(sum(first_seen_customer_count), 0) as first_seen_customer_count

    from {{ ref('fct_marketing_performance_daily') }}

),

monthly as (

    select
        cast(coalesce(sum(revenue_amount), 0) as decimal(18, 2)) as revenue_amount,
        coalesce(sum(order_count), 0) as order_count,
        coalesce(sum(first_seen_customer_count), 0) as first_seen_customer_count

    from {{ ref('fct_marketing_performance_monthly') }}

),

orders as (

    select
        cast(coalesce(sum(net_sales_amount), 0) as decimal(18, 2)) as revenue_amount,
        count(*) as order_count

    from {{ ref('fct_orders') }}

),

customers as (

    select count(distinct customer_id) as first_seen_customer_count

    from {{ ref('stg_online_sales') }}

    where customer_id != {{ unknown_customer_id() }}

)

select
    orders.revenue_amount,
    daily.revenue_amount as daily_revenue_amount,
    monthly.revenue_amount as monthly_revenue_amount,
    orders.order_count,
    daily.order_count as daily_order_count,
    monthly.order_count as monthly_order_count,
    customers.first_seen_customer_count,
    daily.first_seen_customer_count as daily_first_seen_customer_count,
    monthly.first_seen_customer_count as monthly_first_seen_customer_count
from daily
cross join monthly
cross join orders
cross join customers
where
    daily.revenue_amount != orders.revenue_amount
    or monthly.revenue_amount != orders.revenue_amount
    or daily.order_count != orders.order_count
    or monthly.order_count != orders.order_count
    or (
        {{ 'false' if has_range() else 'true' }}
        and (
            daily.first_seen_customer_count != customers.first_seen_customer_count
            or monthly.first_seen_customer_count != customers.first_seen_customer_count
        )
    )
