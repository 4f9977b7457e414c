with

occasions as (

    select * from {{ ref('fct_purchase_occasions') }}

),

horizons as (

    {% for days in [30, 60, 90, 180, 270, 360] -%}
    select {{ days }} as horizon_days
    {% if not loop.last -%}
    union all
    {% endif -%}
    {% endfor %}
),

data_end as (

    select max(occasion_date) as last_day from occasions

),

customers as (

    select
        occasions.customer_id,
        min(occasions.occasion_date) as first_day,
        {{ dbt.datediff('min(occasions.occasion_date)', 'max(data_end.last_day)', 'day') }} as observed_days

    from occasions

    cross join data_end

    group by occasions.customer_id

),

-- Who has not been observed for the whole horizon would lower its mean.
ripe as (

    select
        customers.customer_id,
        customers.first_day,
        horizons.horizon_days

    from customers

    inner join horizons on customers.observed_days >= horizons.horizon_days

),

valued as (

    select
        ripe.customer_id,
        ripe.horizon_days,
        cast(date_trunc('month', ripe.first_day) as date) as cohort_month,
        sum(occasions.net_sales_amount) as net_sales_amount

    from ripe

    inner join occasions
        on
            ripe.customer_id = occasions.customer_id
            and {{ dbt.datediff('ripe.first_day', 'occasions.occasion_date', 'day') }} < ripe.horizon_days

    group by
        ripe.customer_id,
        ripe.horizon_days,
        cast(date_trunc('month', ripe.first_day) as date)

),

summed as (

    select
        cohort_month,
        horizon_days,
        count(*) as customer_count,
        sum(net_sales_amount) as net_sales_amount

    from valued

    group by
        cohort_month,
        horizon_days

)

select
    {{ surrogate_key(['cohort_month', 'horizon_days']) }} as customer_value_id,
    cohort_month,
    cast(horizon_days as integer) as horizon_days,
    cast(customer_count as bigint) as customer_count,
    cast(net_sales_amount as decimal(18, 2)) as net_sales_amount,
    {{ average_amount('net_sales_amount', 'customer_count') }} as net_sales_per_customer

from summed
