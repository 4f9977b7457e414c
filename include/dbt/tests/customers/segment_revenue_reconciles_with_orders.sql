-- Each customer's orders and revenue are those of fct_orders up to the as-of date.
with

segments as (

    select * from {{ ref('fct_customer_segments') }}

),

expected as (

    select
        orders.customer_id,
        count(*) as total_orders,
        cast(sum(orders.net_sales_amount) as decimal(18, 2)) as total_revenue

    from {{ ref('fct_orders') }} as orders

    inner join segments
        on orders.customer_id = segments.customer_id and orders.order_date <= segments.as_of_date

    group by orders.customer_id

)

select
    segments.customer_id,
    segments.total_orders,
    expected.total_orders as expected_total_orders,
    segments.total_revenue,
    expected.total_revenue as expected_total_revenue
from segments
left join expected on segments.customer_id = expected.customer_id
where
    segments.total_orders is distinct from expected.total_orders
    or segments.total_revenue is distinct from expected.total_revenue
