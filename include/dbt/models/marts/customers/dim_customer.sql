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

)

select
    customers.customer_id,
    customers.gender,
    customers.location,
    customers.customer_tenure_months,
    {{ tenure_segment('customers.customer_tenure_months') }} as customer_segment,
    cast(round(customers.customer_tenure_months / 12.0, 2) as decimal(9, 2)) as customer_tenure_years,
    purchases.first_purchase_date,
    purchases.last_purchase_date,
    {{ dbt.datediff('purchases.last_purchase_date', 'as_of.as_of_date', 'day') }} as days_since_last_purchase

from customers

cross join as_of

left join purchases on customers.customer_id = purchases.customer_id
