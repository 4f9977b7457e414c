with

occasions as (

    select * from {{ ref('fct_purchase_occasions') }}

),

days as (

    select * from {{ ref('dim_datetime') }}

),

data_end as (

    select
        max(date_day) as last_day,
        (select max(occasions.occasion_date) from occasions) as last_occasion_date

    from days

),

-- Months that the files cover to their end, up to the one with the last purchase.
month_ends as (

    select distinct {{ dbt.last_day('days.date_day', 'month') }} as month_end

    from days

    inner join data_end
        on
            {{ dbt.last_day('days.date_day', 'month') }} <= data_end.last_day
            and days.date_day <= data_end.last_occasion_date

),

-- The base grows: who bought later is not there yet.
measured as (

    select
        month_ends.month_end,
        occasions.customer_id,
        {{ dbt.datediff('max(occasions.occasion_date)', 'month_ends.month_end', 'day') }} as recency_days,
        count(*) as frequency,
        sum(occasions.net_sales_amount) as monetary

    from month_ends

    inner join occasions on month_ends.month_end >= occasions.occasion_date

    group by
        month_ends.month_end,
        occasions.customer_id

),

-- Number of customers ranked below each; equal values share a rank, and so a score, as in fct_customer_rfm.
ranked as (

    select
        *,
        rank() over (partition by month_end order by recency_days desc) - 1 as less_recent_count,
        rank() over (partition by month_end order by frequency) - 1 as less_frequent_count,
        rank() over (partition by month_end order by monetary) - 1 as less_monetary_count,
        count(*) over (partition by month_end) as customer_count

    from measured

),

scored as (

    select
        month_end,
        customer_id,
        recency_days,
        frequency,
        monetary,
        cast({{ integer_quotient('less_recent_count * 5', 'customer_count') }} + 1 as integer) as recency_score,
        cast({{ integer_quotient('less_frequent_count * 5', 'customer_count') }} + 1 as integer) as frequency_score,
        cast({{ integer_quotient('less_monetary_count * 5', 'customer_count') }} + 1 as integer) as monetary_score

    from ranked

),

summed as (

    select
        *,
        recency_score + frequency_score + monetary_score as score_sum,
        cast(recency_score as varchar) || cast(frequency_score as varchar) || cast(monetary_score as varchar)
            as rfm_score

    from scored

),

compared as (

    select
        *,
        lag(rfm_score) over (partition by customer_id order by month_end) as previous_rfm_score,
        lag(score_sum) over (partition by customer_id order by month_end) as previous_score_sum

    from summed

)

select
    {{ surrogate_key(['month_end', 'customer_id']) }} as rfm_history_id,
    month_end,
    customer_id,
    cast(recency_days as bigint) as recency_days,
    cast(frequency as bigint) as frequency,
    cast(monetary as decimal(18, 2)) as monetary,
    recency_score,
    frequency_score,
    monetary_score,
    rfm_score,
    previous_rfm_score,
    case
        when previous_score_sum is null then 'new'
        when score_sum > previous_score_sum then 'up'
        when score_sum < previous_score_sum then 'down'
        else 'same'
    end as move

from compared
