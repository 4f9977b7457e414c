with

orders as (

    select * from {{ ref('fct_orders') }}

),

customers as (

    select
        customer_id,
        coalesce(location, 'Unknown') as location

    from {{ ref('dim_customer') }}

),

kinds as (

    select * from {{ ref('location_kinds') }}

),

valued as (

    select
        customers.location,
        orders.customer_id,
        count(*) as order_count,
        sum(orders.net_sales_amount) as net_sales_amount

    from orders

    inner join customers on orders.customer_id = customers.customer_id

    group by
        customers.location,
        orders.customer_id

),

-- In floating point: of decimals a median would be truncated.
known as (

    select
        *,
        case
            when customer_id != {{ unknown_customer_id() }} then cast(net_sales_amount as double precision)
        end as known_net_sales

    from valued

),

summed as (

    select
        location,
        count(case when customer_id != {{ unknown_customer_id() }} then 1 end) as customer_count,
        sum(net_sales_amount) as net_sales_amount,
        median(known_net_sales) as median_net_sales,
        sum(order_count) as order_count

    from known

    group by location

)

select
    summed.location,
    coalesce(kinds.location_kind, 'other') as location_kind,
    cast(summed.customer_count as bigint) as customer_count,
    cast(summed.net_sales_amount as decimal(18, 2)) as net_sales_amount,
    {{ money('summed.median_net_sales') }} as median_net_sales_per_customer,
    cast(summed.order_count as bigint) as order_count

from summed

left join kinds on lower(summed.location) = lower(kinds.location)
