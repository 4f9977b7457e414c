with

predictions as (

    select * from {{ source('outlook', 'customer_outlook_predictions') }}

),

orders as (

    select * from {{ ref('fct_orders') }}

),

newest as (

    select max(order_date) as order_date
    from orders

),

purchase_days as (

    select distinct
        customer_id,
        order_date

    from orders

),

numbered as (

    select
        customer_id,
        order_date,
        lag(order_date) over (partition by customer_id order by order_date) as previous_date

    from purchase_days

),

-- Days in a row are one visit, which belongs to its first day: so does ml/purchases.py count.
visits as (

    select
        customer_id,
        order_date as visit_date

    from numbered

    where previous_date is null or {{ dbt.datediff('previous_date', 'order_date', 'day') }} > 1

),

-- Promises whose days have not all passed are left out.
due as (

    select
        predictions.customer_id,
        predictions.as_of_date,
        predictions.horizon_days,
        predictions.probability,
        predictions.expected_purchases,
        {{ probability_band('predictions.probability') }} as probability_band

    from predictions

    cross join newest

    where {{ dbt.datediff('predictions.as_of_date', 'newest.order_date', 'day') }} >= predictions.horizon_days

),

came as (

    select
        due.customer_id,
        due.as_of_date,
        count(visits.visit_date) as purchases

    from due

    left join visits
        on
            due.customer_id = visits.customer_id
            and {{ dbt.datediff('due.as_of_date', 'visits.visit_date', 'day') }} between 1 and due.horizon_days

    group by
        due.customer_id,
        due.as_of_date

)

select
    {{ surrogate_key(['due.as_of_date', 'due.probability_band']) }} as outlook_backtest_id,
    due.as_of_date,
    due.probability_band,
    count(*) as customer_count,
    cast(sum(due.probability) as decimal(18, 6)) as promised_buyers,
    cast(sum(case when came.purchases > 0 then 1 else 0 end) as bigint) as actual_buyers,
    cast(sum(due.expected_purchases) as decimal(18, 6)) as promised_purchases,
    cast(sum(came.purchases) as bigint) as actual_purchases

from due

inner join came
    on
        due.customer_id = came.customer_id
        and due.as_of_date = came.as_of_date

group by
    due.as_of_date,
    due.probability_band
