-- Each customer's value at stake is the revenue of the orders of 365 days; who is overdue has a rhythm.
with

expected as (

    select
        customers.customer_id,
        cast(sum(orders.net_sales_amount) as decimal(18, 2)) as net_sales_amount,
        count(distinct orders.order_date) as purchase_days

    from {{ ref('fct_at_risk_customers') }} as customers

    inner join {{ ref('fct_orders') }} as orders
        on
            customers.customer_id = orders.customer_id
            and customers.as_of_date >= orders.order_date
            and {{ dbt.datediff('orders.order_date', 'customers.as_of_date', 'day') }} < 365

    group by customers.customer_id

)

select
    customers.customer_id,
    customers.net_sales_last_365_days,
    expected.net_sales_amount as net_sales_amount_of_orders,
    customers.median_gap_days,
    customers.is_overdue
from {{ ref('fct_at_risk_customers') }} as customers
left join expected on customers.customer_id = expected.customer_id
where
    customers.net_sales_last_365_days is distinct from coalesce(expected.net_sales_amount, 0)
    or (customers.is_overdue and customers.median_gap_days is null)
    or (expected.purchase_days > 1 and customers.median_gap_days is null)
