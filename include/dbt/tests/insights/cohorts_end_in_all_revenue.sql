-- The newest month of each cohort holds all revenue of its customers, and each customer is in one cohort.
with

ends as (

    select
        cohort_month,
        cohort_customer_count,
        cumulative_net_sales_amount,
        row_number() over (partition by cohort_month order by months_since desc) as recency_number

    from {{ ref('fct_cohort_retention') }}

),

found as (

    select
        coalesce(sum(cohort_customer_count), 0) as customer_count,
        cast(coalesce(sum(cumulative_net_sales_amount), 0) as decimal(18, 2)) as net_sales_amount

    from ends

    where recency_number = 1

),

expected as (

    select
        count(distinct customer_id) as customer_count,
        cast(coalesce(sum(net_sales_amount), 0) as decimal(18, 2)) as net_sales_amount

    from {{ ref('fct_orders') }}

    where customer_id != {{ unknown_customer_id() }}

)

select
    found.customer_count,
    found.net_sales_amount,
    expected.customer_count as customer_count_of_orders,
    expected.net_sales_amount as net_sales_amount_of_orders
from found
cross join expected
where
    found.customer_count != expected.customer_count
    or found.net_sales_amount != expected.net_sales_amount
