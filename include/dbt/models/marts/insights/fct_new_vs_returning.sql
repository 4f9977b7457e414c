{% set is_unknown = 'customer_id = ' ~ unknown_customer_id() -%}

with

orders as (

    select
        *,
        cast(date_trunc('month', order_date) as date) as month_start

    from {{ ref('fct_orders') }}

),

monthly as (

    select
        month_start,
        sum(case when purchase_day_number = 1 then net_sales_amount else 0 end) as first_day_net_sales_amount,
        sum(case when purchase_day_number > 1 then net_sales_amount else 0 end) as later_net_sales_amount,
        sum(case when {{ is_unknown }} then net_sales_amount else 0 end) as unknown_customer_net_sales_amount,
        count(distinct case when purchase_day_number = 1 then customer_id end) as first_day_customer_count,
        count(distinct case when not {{ is_unknown }} then customer_id end) as customer_count

    from orders

    group by month_start

)

-- Daily counts do not add up to these: a customer counts once a month, as new where the first day lies in it.
select
    month_start as month,
    cast(first_day_net_sales_amount as decimal(18, 2)) as first_day_net_sales_amount,
    cast(later_net_sales_amount as decimal(18, 2)) as later_net_sales_amount,
    cast(unknown_customer_net_sales_amount as decimal(18, 2)) as unknown_customer_net_sales_amount,
    cast(first_day_customer_count as bigint) as first_day_customer_count,
    cast(customer_count - first_day_customer_count as bigint) as returning_customer_count,
    cast(customer_count as bigint) as customer_count

from monthly
