with

orders as (

    select * from {{ ref('fct_orders') }}
    where customer_id != {{ unknown_customer_id() }}

),

occasions as (

    select
        customer_id,
        order_date as occasion_date,
        max(purchase_day_number) as purchase_day_number,
        count(*) as order_count,
        sum(net_sales_amount) as net_sales_amount

    from orders

    group by
        customer_id,
        order_date

),

compared as (

    select
        *,
        lag(occasion_date) over (partition by customer_id order by occasion_date) as previous_date

    from occasions

)

select
    {{ surrogate_key(['customer_id', 'occasion_date']) }} as purchase_occasion_id,
    customer_id,
    occasion_date,
    cast(purchase_day_number as bigint) as purchase_day_number,
    cast({{ dbt.datediff('previous_date', 'occasion_date', 'day') }} as bigint) as days_since_previous,
    cast(order_count as bigint) as order_count,
    cast(net_sales_amount as decimal(18, 2)) as net_sales_amount

from compared
