-- Horizontal reconciliation: fct_orders and fct_sales have the same totals.
with

sales as (

    select
        cast(sum(quantity) as bigint) as quantity,
        cast(sum(net_sales_amount) as decimal(18, 2)) as net_sales_amount,
        cast(sum(gst_amount) as decimal(18, 2)) as gst_amount,
        cast(sum(delivery_amount) as decimal(18, 2)) as delivery_amount,
        cast(sum(total_amount) as decimal(18, 2)) as total_amount

    from {{ ref('fct_sales') }}

),

orders as (

    select
        cast(sum(quantity) as bigint) as quantity,
        cast(sum(net_sales_amount) as decimal(18, 2)) as net_sales_amount,
        cast(sum(gst_amount) as decimal(18, 2)) as gst_amount,
        cast(sum(delivery_amount) as decimal(18, 2)) as delivery_amount,
        cast(sum(total_amount) as decimal(18, 2)) as total_amount

    from {{ ref('fct_orders') }}

)

select *
from sales
except
select *
from orders
