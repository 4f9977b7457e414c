-- Horizontal reconciliation: fct_orders and fct_sales tell the same totals.
with

sales as (

    select
        sum(quantity) as quantity,
        sum(net_sales_amount) as net_sales_amount,
        sum(gst_amount) as gst_amount,
        sum(delivery_amount) as delivery_amount,
        sum(total_amount) as total_amount

    from {{ ref('fct_sales') }}

),

orders as (

    select
        sum(quantity) as quantity,
        sum(net_sales_amount) as net_sales_amount,
        sum(gst_amount) as gst_amount,
        sum(delivery_amount) as delivery_amount,
        sum(total_amount) as total_amount

    from {{ ref('fct_orders') }}

)

select *
from sales
except
select *
from orders
