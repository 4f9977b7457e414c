with

occasions as (

    select * from {{ ref('fct_purchase_occasions') }}

),

days as (

    select * from {{ ref('dim_datetime') }}

),

cohorts as (

    select
        customer_id,
        cast(date_trunc('month', min(occasion_date)) as date) as cohort_month

    from occasions

    group by customer_id

),

cohort_sizes as (

    select
        cohort_month,
        count(*) as cohort_customer_count

    from cohorts

    group by cohort_month

),

data_end as (

    select max(occasion_date) as last_day from occasions

),

-- A month that the data do not reach is missing; one in which nobody of the cohort bought is 0.
months as (

    select distinct days.month_start

    from days

    inner join data_end on days.date_day <= data_end.last_day

),

monthly as (

    select
        cohorts.cohort_month,
        cast(date_trunc('month', occasions.occasion_date) as date) as month_start,
        count(distinct occasions.customer_id) as buyer_count,
        sum(occasions.net_sales_amount) as net_sales_amount

    from occasions

    inner join cohorts on occasions.customer_id = cohorts.customer_id

    group by
        cohorts.cohort_month,
        cast(date_trunc('month', occasions.occasion_date) as date)

),

cells as (

    select
        cohort_sizes.cohort_month,
        {{ dbt.datediff('cohort_sizes.cohort_month', 'months.month_start', 'month') }} as months_since,
        cohort_sizes.cohort_customer_count,
        coalesce(monthly.buyer_count, 0) as buyer_count,
        coalesce(monthly.net_sales_amount, 0) as net_sales_amount

    from cohort_sizes

    inner join months on cohort_sizes.cohort_month <= months.month_start

    left join monthly
        on
            cohort_sizes.cohort_month = monthly.cohort_month
            and months.month_start = monthly.month_start

),

accumulated as (

    select
        *,
        sum(net_sales_amount) over (
            partition by cohort_month
            order by months_since
            rows between unbounded preceding and current row
        ) as cumulative_net_sales_amount

    from cells

)

select
    {{ surrogate_key(['cohort_month', 'months_since']) }} as cohort_retention_id,
    cohort_month,
    cast(months_since as integer) as months_since,
    cast(cohort_customer_count as bigint) as cohort_customer_count,
    cast(buyer_count as bigint) as buyer_count,
    {{ ratio('buyer_count', 'cohort_customer_count') }} as buyer_share,
    cast(cumulative_net_sales_amount as decimal(18, 2)) as cumulative_net_sales_amount,
    {{ average_amount('cumulative_net_sales_amount', 'cohort_customer_count') }} as cumulative_net_sales_per_customer

from accumulated
