with

features as (

    select * from {{ ref('int_customer_features') }}
    where purchase_days > 0

),

occasions as (

    select
        *,
        cast(days_since_previous as double precision) as gap_days  -- a median of whole numbers would be rounded

    from {{ ref('fct_purchase_occasions') }}

),

segments as (

    select * from {{ ref('fct_customer_segments') }}

),

outlook as (

    select * from {{ ref('fct_customer_outlook') }}

),

as_of as (

    select max(as_of_date) as as_of_date from features

),

rhythms as (

    select
        occasions.customer_id,
        median(occasions.gap_days) as median_gap_days,
        sum(
            case
                when {{ dbt.datediff('occasions.occasion_date', 'as_of.as_of_date', 'day') }} < 365
                    then occasions.net_sales_amount
                else 0
            end
        ) as net_sales_last_365_days

    from occasions

    inner join as_of on occasions.occasion_date <= as_of.as_of_date

    group by occasions.customer_id

),

-- One day's purchase has no rhythm to break.
measured as (

    select
        features.customer_id,
        features.as_of_date,
        features.lifecycle_stage,
        features.last_order_date,
        features.recency_days,
        rhythms.net_sales_last_365_days,
        case when features.purchase_days > 1 then rhythms.median_gap_days end as median_gap_days

    from features

    inner join rhythms on features.customer_id = rhythms.customer_id

)

select
    measured.customer_id,
    measured.as_of_date,
    segments.segment_id,
    segments.segment_name,
    measured.lifecycle_stage,
    measured.last_order_date as last_purchase_date,
    measured.recency_days as days_since_last_purchase,
    cast(measured.median_gap_days as double precision) as median_gap_days,
    {{ ratio('measured.recency_days', 'measured.median_gap_days') }} as silence_ratio,
    coalesce(measured.recency_days > 2 * measured.median_gap_days and measured.recency_days > 60, false) as is_overdue,
    cast(measured.net_sales_last_365_days as decimal(18, 2)) as net_sales_last_365_days,
    outlook.purchase_probability,
    outlook.next_best_action

from measured

left join segments on measured.customer_id = segments.customer_id

left join outlook on measured.customer_id = outlook.customer_id
