with

segments as (

    select * from {{ ref('fct_customer_segments') }}

),

outlook as (

    select * from {{ ref('fct_customer_outlook') }}

),

summed as (

    select
        segments.segment_id,
        segments.segment_name,
        count(*) as customer_count,
        sum(segments.total_revenue) as net_sales_amount,
        sum(outlook.expected_purchases) as expected_purchases,
        avg(cast(outlook.purchase_probability as double precision)) as purchase_probability_mean

    from segments

    left join outlook on segments.customer_id = outlook.customer_id

    group by
        segments.segment_id,
        segments.segment_name

),

-- What to do for most of the segment's customers.
actions as (

    select
        segments.segment_id,
        outlook.next_best_action,
        row_number() over (
            partition by segments.segment_id
            order by count(*) desc, outlook.next_best_action asc
        ) as action_rank

    from segments

    inner join outlook on segments.customer_id = outlook.customer_id

    group by
        segments.segment_id,
        outlook.next_best_action

)

select
    summed.segment_id,
    summed.segment_name,
    cast(summed.customer_count as bigint) as customer_count,
    cast(summed.net_sales_amount as decimal(18, 2)) as net_sales_amount,
    {{ average_amount('summed.net_sales_amount', 'summed.customer_count') }} as net_sales_per_customer,
    cast(summed.expected_purchases as decimal(18, 6)) as expected_purchases,
    cast(summed.purchase_probability_mean as double precision) as purchase_probability_mean,
    actions.next_best_action

from summed

left join actions
    on
        summed.segment_id = actions.segment_id
        and actions.action_rank = 1
