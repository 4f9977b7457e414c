with

features as (

    select * from {{ ref('int_customer_features') }}

),

-- Number of customers ranked below each; equal values share a rank, and so a score.
ranked as (

    select
        customer_id,
        as_of_date,
        recency_days,
        frequency,
        monetary,
        rank() over (order by recency_days desc) - 1 as less_recent_count,
        rank() over (order by frequency) - 1 as less_frequent_count,
        rank() over (order by monetary) - 1 as less_monetary_count,
        count(*) over () as customer_count

    from features

    where frequency > 0

),

scored as (

    select
        *,
        cast({{ integer_quotient('less_recent_count * 5', 'customer_count') }} + 1 as integer) as recency_score,
        cast({{ integer_quotient('less_frequent_count * 5', 'customer_count') }} + 1 as integer) as frequency_score,
        cast({{ integer_quotient('less_monetary_count * 5', 'customer_count') }} + 1 as integer) as monetary_score

    from ranked

)

select
    customer_id,
    as_of_date,
    recency_days,
    frequency,
    monetary,
    recency_score,
    frequency_score,
    monetary_score,
    cast(recency_score as varchar) || cast(frequency_score as varchar) || cast(monetary_score as varchar) as rfm_score

from scored
