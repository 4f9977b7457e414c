-- For each horizon: the ripe customers and their revenue, counted from the orders.
with

orders as (

    select
        customer_id,
        order_date,
        net_sales_amount,
        min(order_date) over (partition by customer_id) as first_date,
        max(order_date) over () as last_date

    from {{ ref('fct_orders') }}

    where customer_id != {{ unknown_customer_id() }}

),

found as (

    select
        horizon_days,
        sum(customer_count) as customer_count,
        cast(sum(net_sales_amount) as decimal(18, 2)) as net_sales_amount

    from {{ ref('fct_customer_value') }}

    group by horizon_days

),

expected as (

    select
        found.horizon_days,
        count(distinct orders.customer_id) as customer_count,
        cast(
            sum(
                case
                    when {{ dbt.datediff('orders.first_date', 'orders.order_date', 'day') }} < found.horizon_days
                        then orders.net_sales_amount
                    else 0
                end
            ) as decimal(18, 2)
        ) as net_sales_amount

    from found

    cross join orders

    where {{ dbt.datediff('orders.first_date', 'orders.last_date', 'day') }} >= found.horizon_days

    group by found.horizon_days

)

select
    found.horizon_days,
    found.customer_count,
    found.net_sales_amount,
    expected.customer_count as customer_count_of_orders,
    expected.net_sales_amount as net_sales_amount_of_orders
from found
left join expected on found.horizon_days = expected.horizon_days
where
    found.customer_count is distinct from expected.customer_count
    or found.net_sales_amount is distinct from expected.net_sales_amount
