with

source as (

    select * from {{ ref('base_discount_coupon') }}

    where reject_reason is null

),

periods as (

    {{ rates_by_period('source', ['category', 'month_number']) }}

)

select
    month_number,
    category,
    coupon_code,
    discount_rate,
    valid_from,
    valid_to,
    loaded_at

from periods

where rate_rank = 1
