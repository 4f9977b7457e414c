with

customers as (

    select * from {{ ref('stg_customers') }}

),

sales as (

    select * from {{ ref('stg_online_sales') }}

),

as_of as (

    select {{ as_of_date('max(transaction_date)') }} as as_of_date
    from sales

),

purchases as (

    select
        sales.customer_id,
        min(sales.transaction_date) as first_purchase_date,
        max(sales.transaction_date) as last_purchase_date

    from sales

    cross join as_of

    where sales.transaction_date <= as_of.as_of_date

    group by sales.customer_id

),

-- Of whom the files tell nothing: there only if a sale needs it.
unknown_customer as (

    select
        customer_id,
        cast(null as varchar) as gender,
        cast(null as varchar) as location,
        cast(null as bigint) as customer_tenure_months

    from sales

    where customer_id = {{ unknown_customer_id() }}

    group by customer_id

),

described as (

    select
        customer_id,
        gender,
        location,
        customer_tenure_months

    from customers

    union all

    select * from unknown_customer

),

by_tenure as (

    select
        *,
        coalesce({{ tenure_segment('customer_tenure_months') }}, 'Unknown Customer') as tenure_segment

    from described

)

select
    by_tenure.customer_id,
    by_tenure.gender,
    by_tenure.location,
    by_tenure.customer_tenure_months,
    by_tenure.tenure_segment,
    by_tenure.tenure_segment as customer_segment,
    cast(round(by_tenure.customer_tenure_months / 12.0, 2) as decimal(9, 2)) as customer_tenure_years,
    purchases.first_purchase_date,
    purchases.last_purchase_date,
    {{ dbt.datediff('purchases.last_purchase_date', 'as_of.as_of_date', 'day') }} as days_since_last_purchase

from by_tenure

cross join as_of

left join purchases
    on
        by_tenure.customer_id = purchases.customer_id
        -- Unknown customers are many: they have no first purchase.
        and by_tenure.customer_id != {{ unknown_customer_id() }}
