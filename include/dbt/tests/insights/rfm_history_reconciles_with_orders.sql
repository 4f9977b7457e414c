-- Each month end has every customer with an order until then, with all their revenue; its base never shrinks.
with

found as (

    select
        month_end,
        count(*) as customer_count,
        cast(sum(monetary) as decimal(18, 2)) as net_sales_amount

    from {{ ref('fct_rfm_history') }}

    group by month_end

),

expected as (

    select
        found.month_end,
        count(distinct orders.customer_id) as customer_count,
        cast(sum(orders.net_sales_amount) as decimal(18, 2)) as net_sales_amount

    from found

    inner join {{ ref('fct_orders') }} as orders
        on found.month_end >= orders.order_date and orders.customer_id != {{ unknown_customer_id() }}

    group by found.month_end

)

select
    found.month_end,
    found.customer_count,
    found.net_sales_amount,
    expected.customer_count as customer_count_of_orders,
    expected.net_sales_amount as net_sales_amount_of_orders
from found
left join expected on found.month_end = expected.month_end
where
    found.customer_count is distinct from expected.customer_count
    or found.net_sales_amount is distinct from expected.net_sales_amount
