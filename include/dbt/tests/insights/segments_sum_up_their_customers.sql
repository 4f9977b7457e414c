-- Each segment has the customers that fct_at_risk_customers puts in it, with all their orders up to the as-of date.
with

found as (

    select * from {{ ref('fct_segment_summary') }}

),

expected as (

    select
        customers.segment_id,
        count(distinct customers.customer_id) as customer_count,
        cast(sum(orders.net_sales_amount) as decimal(18, 2)) as net_sales_amount

    from {{ ref('fct_at_risk_customers') }} as customers

    inner join {{ ref('fct_orders') }} as orders
        on
            customers.customer_id = orders.customer_id
            and customers.as_of_date >= orders.order_date

    where customers.segment_id is not null

    group by customers.segment_id

)

select
    coalesce(found.segment_id, expected.segment_id) as segment_id,
    found.customer_count,
    found.net_sales_amount,
    expected.customer_count as customer_count_of_orders,
    expected.net_sales_amount as net_sales_amount_of_orders
from found
full outer join expected on found.segment_id = expected.segment_id
where
    found.customer_count is distinct from expected.customer_count
    or found.net_sales_amount is distinct from expected.net_sales_amount
