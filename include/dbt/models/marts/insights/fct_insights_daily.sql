with

days as (

    select date_day from {{ ref('dim_datetime') }}

),

spend as (

    select * from {{ ref('stg_marketing_spend') }}

),

orders as (

    select * from {{ ref('fct_orders') }}

),

daily_orders as (

    select
        order_date,
        count(*) as order_count,
        sum(line_count) as line_count,
        sum(quantity) as quantity,
        sum(gross_sales_amount) as gross_sales_amount,
        sum(discount_amount) as discount_amount,
        sum(net_sales_amount) as net_sales_amount,
        sum(gst_amount) as gst_amount,
        sum(delivery_amount) as delivery_amount,
        sum(total_amount) as total_amount,
        sum(case when purchase_day_number = 1 then net_sales_amount else 0 end) as first_day_net_sales_amount,
        count(distinct case when customer_id != {{ unknown_customer_id() }} then customer_id end) as customer_count,
        count(distinct case when purchase_day_number = 1 then customer_id end) as first_seen_customer_count

    from orders

    group by order_date

)

{% set amounts = [
    'net_sales_amount', 'gross_sales_amount', 'discount_amount', 'gst_amount', 'delivery_amount', 'total_amount',
    'first_day_net_sales_amount',
] -%}
{% set counts = ['order_count', 'line_count', 'quantity', 'customer_count', 'first_seen_customer_count'] -%}
select
    days.date_day,
    {% for name in amounts -%}
    cast(coalesce(daily_orders.{{ name }}, 0) as decimal(18, 2)) as {{ name }},
    {% endfor -%}
    {% for name in counts -%}
    cast(coalesce(daily_orders.{{ name }}, 0) as bigint) as {{ name }},
    {% endfor -%}
    cast(coalesce(spend.offline_spend_amount, 0) as decimal(18, 2)) as offline_spend_amount,
    cast(coalesce(spend.online_spend_amount, 0) as decimal(18, 2)) as online_spend_amount,
    cast(
        coalesce(spend.offline_spend_amount, 0) + coalesce(spend.online_spend_amount, 0) as decimal(18, 2)
    ) as total_spend_amount

from days

left join daily_orders on days.date_day = daily_orders.order_date

left join spend on days.date_day = spend.spend_date
