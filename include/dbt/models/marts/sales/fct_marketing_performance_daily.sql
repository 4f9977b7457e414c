with

days as (

    select date_day from {{ ref('dim_datetime') }}

),

spend as (

    select * from {{ ref('stg_marketing_spend') }}

),

orders as (

    select * from {{ ref('fct_orders') }}

),

daily_orders as (

    select
        order_date,
        count(*) as order_count,
        count(distinct case when purchase_day_number = 1 then customer_id end) as first_seen_customer_count,
        count(distinct case when purchase_day_number > 1 then customer_id end) as returning_customer_count,
        sum(net_sales_amount) as net_sales_amount

    from orders

    group by order_date

),

joined as (

    select
        days.date_day,
        coalesce(spend.offline_spend_amount, 0) as offline_spend_amount,
        coalesce(spend.online_spend_amount, 0) as online_spend_amount,
        coalesce(daily_orders.order_count, 0) as order_count,
        coalesce(daily_orders.first_seen_customer_count, 0) as first_seen_customer_count,
        coalesce(daily_orders.returning_customer_count, 0) as returning_customer_count,
        coalesce(daily_orders.net_sales_amount, 0) as net_sales_amount

    from days

    left join spend on days.date_day = spend.spend_date

    left join daily_orders on days.date_day = daily_orders.order_date

)

select
    date_day,
    cast(offline_spend_amount as decimal(18, 2)) as offline_spend_amount,
    cast(online_spend_amount as decimal(18, 2)) as online_spend_amount,
    cast(offline_spend_amount + online_spend_amount as decimal(18, 2)) as total_spend_amount,
    cast(order_count as bigint) as order_count,
    cast(first_seen_customer_count as bigint) as first_seen_customer_count,
    cast(returning_customer_count as bigint) as returning_customer_count,
    cast(net_sales_amount as decimal(18, 2)) as net_sales_amount,
    cast(net_sales_amount as decimal(18, 2)) as revenue_amount,
    cast(net_sales_amount / nullif(offline_spend_amount + online_spend_amount, 0) as decimal(18, 4))
        as blended_return_on_spend

from joined
