with

days as (

    select * from {{ ref('dim_datetime') }}

),

spend as (

    select * from {{ ref('stg_marketing_spend') }}

),

orders as (

    select * from {{ ref('fct_orders') }}

),

customers as (

    select * from {{ ref('stg_customers') }}

),

sales as (

    select * from {{ ref('stg_online_sales') }}

),

monthly_spend as (

    select
        days.month_start,
        count(*) as day_count,
        coalesce(sum(spend.offline_spend_amount), 0) as offline_spend_amount,
        coalesce(sum(spend.online_spend_amount), 0) as online_spend_amount

    from days

    left join spend on days.date_day = spend.spend_date

    group by days.month_start

),

monthly_orders as (

    select
        days.month_start,
        count(*) as order_count,
        count(distinct case when orders.customer_id != {{ unknown_customer_id() }} then orders.customer_id end)
            as customer_count,
        count(distinct case when orders.purchase_day_number = 1 then orders.customer_id end)
            as first_seen_customer_count,
        sum(orders.net_sales_amount) as net_sales_amount

    from orders

    inner join days on orders.order_date = days.date_day

    group by days.month_start

),

as_of as (

    select {{ as_of_date('max(transaction_date)') }} as as_of_date
    from sales

),

acquisitions as (

    select
        customers.customer_id,
        cast(
            date_trunc('month', {{ dbt.dateadd('month', '-1 * customers.customer_tenure_months', 'as_of.as_of_date') }})
            as date
        ) as month_start

    from customers

    cross join as_of

),

acquired as (

    select
        month_start,
        count(*) as customer_count

    from acquisitions

    group by month_start

),

joined as (

    select
        monthly_spend.month_start,
        monthly_spend.day_count,
        monthly_spend.offline_spend_amount,
        monthly_spend.online_spend_amount,
        coalesce(monthly_orders.order_count, 0) as order_count,
        coalesce(monthly_orders.customer_count, 0) as customer_count,
        coalesce(monthly_orders.first_seen_customer_count, 0) as first_seen_customer_count,
        coalesce(acquired.customer_count, 0) as acquired_customer_count,
        coalesce(monthly_orders.net_sales_amount, 0) as net_sales_amount

    from monthly_spend

    left join monthly_orders on monthly_spend.month_start = monthly_orders.month_start

    left join acquired on monthly_spend.month_start = acquired.month_start

)

select
    month_start,
    cast(day_count as bigint) as day_count,
    cast(offline_spend_amount as decimal(18, 2)) as offline_spend_amount,
    cast(online_spend_amount as decimal(18, 2)) as online_spend_amount,
    cast(offline_spend_amount + online_spend_amount as decimal(18, 2)) as total_spend_amount,
    cast(order_count as bigint) as order_count,
    cast(customer_count as bigint) as customer_count,
    cast(first_seen_customer_count as bigint) as first_seen_customer_count,
    cast(customer_count - first_seen_customer_count as bigint) as returning_customer_count,
    cast(acquired_customer_count as bigint) as acquired_customer_count,
    cast(net_sales_amount as decimal(18, 2)) as net_sales_amount,
    cast(net_sales_amount as decimal(18, 2)) as revenue_amount,
    cast(net_sales_amount / nullif(offline_spend_amount + online_spend_amount, 0) as decimal(18, 4))
        as blended_return_on_spend

from joined
