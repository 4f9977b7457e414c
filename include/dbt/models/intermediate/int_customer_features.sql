{{ config(alias='int_customer_features' ~ ('_dry_run' if switch_var('dry_run') else '')) }}

with

customers as (

    select * from {{ ref('dim_customer') }}
    where customer_id != {{ unknown_customer_id() }}

),

orders as (

    select * from {{ ref('fct_orders') }}

),

sales as (

    select * from {{ ref('fct_sales') }}

),

as_of as (

    select {{ as_of_date('max(order_date)') }} as as_of_date
    from orders

),

-- Orders after the as-of date do not count.
order_behaviour as (

    select
        orders.customer_id,
        count(*) as frequency,
        count(distinct orders.order_date) as purchase_days,
        sum(orders.net_sales_amount) as monetary,
        sum(orders.gross_sales_amount) as gross_sales_amount,
        sum(orders.discount_amount) as discount_amount,
        min(orders.order_date) as first_order_date,
        max(orders.order_date) as last_order_date

    from orders

    cross join as_of

    where orders.order_date <= as_of.as_of_date

    group by orders.customer_id

),

breadth as (

    select
        sales.customer_id,
        count(distinct sales.category) as category_count

    from sales

    cross join as_of

    where sales.transaction_date <= as_of.as_of_date

    group by sales.customer_id

),

measured as (

    select
        customers.customer_id,
        as_of.as_of_date,
        order_behaviour.first_order_date,
        order_behaviour.last_order_date,
        cast({{ dbt.datediff('order_behaviour.last_order_date', 'as_of.as_of_date', 'day') }} as bigint)
            as recency_days,
        cast(coalesce(order_behaviour.frequency, 0) as bigint) as frequency,
        cast(coalesce(order_behaviour.monetary, 0) as decimal(18, 2)) as monetary,
        cast({{ dbt.datediff('order_behaviour.first_order_date', 'order_behaviour.last_order_date', 'day') }} as bigint)
            as buying_span_days,
        -- Half away from zero, in whole cents: a decimal quotient would be floating point in DuckDB.
        cast(
            {{ integer_quotient(
                'cast(order_behaviour.monetary * 200 as bigint) + order_behaviour.frequency',
                'order_behaviour.frequency * 2'
            ) }} * 0.01 as decimal(18, 2)
        ) as average_order_value,
        cast(order_behaviour.discount_amount / nullif(order_behaviour.gross_sales_amount, 0) as decimal(9, 4))
            as discount_share,
        cast(coalesce(breadth.category_count, 0) as bigint) as category_count,
        cast(coalesce(order_behaviour.purchase_days, 0) as bigint) as purchase_days,
        cast(
            {{ dbt.datediff('order_behaviour.first_order_date', 'order_behaviour.last_order_date', 'day') }} * 1.0
            / nullif(order_behaviour.purchase_days - 1, 0) as decimal(9, 2)
        ) as average_gap_days,
        customers.customer_tenure_months

    from customers

    cross join as_of

    left join order_behaviour on customers.customer_id = order_behaviour.customer_id

    left join breadth on customers.customer_id = breadth.customer_id

),

-- The usual gap is the shop's: the mean over its repeat buyers.
compared as (

    select
        *,
        cast(avg(average_gap_days) over () as decimal(9, 2)) as usual_gap_days

    from measured

)

select
    customer_id,
    as_of_date,
    first_order_date,
    last_order_date,
    recency_days,
    frequency,
    monetary,
    buying_span_days,
    average_order_value,
    discount_share,
    category_count,
    purchase_days,
    average_gap_days,
    usual_gap_days,
    {{ lifecycle_stage('purchase_days', 'recency_days', 'average_gap_days', 'usual_gap_days') }} as lifecycle_stage,
    customer_tenure_months

from compared
