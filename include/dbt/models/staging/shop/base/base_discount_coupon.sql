with

source as (

    select * from {{ source('raw', 'discount_coupon') }}

),

typed as (

    select
        *,
        {{ parse_month('month') }} as month_number,
        {{ clean_text('product_category') }} as category,
        {{ parse_decimal('discount_pct') }} as discount_percent

    from source

),

ranked as (

    select
        *,
        {{ deduplication_rank(['month_number', 'category']) }} as deduplication_rank

    from typed

)

select
    month_number,
    category,
    {{ clean_text('coupon_code') }} as coupon_code,
    cast(discount_percent * 0.01 as decimal(9, 6)) as discount_rate,
    case
        when month_number is null
            then 'month ' || {{ quoted('month') }} || ' is not a month like Jan'
        when category is null
            then 'product_category is empty'
        when discount_percent is null or discount_percent < 0 or discount_percent > 100
            then 'discount_pct ' || {{ quoted('discount_pct') }} || ' is not between 0 and 100'
        when deduplication_rank > 1
            then 'month ' || {{ quoted('month') }} || ' and product_category '
                || {{ quoted('product_category') }} || ' occur more than once'
    end as reject_reason,
    {{ row_as_json(['month', 'product_category', 'coupon_code', 'discount_pct']) }} as raw_row,
    _source_file as source_file,
    _source_row as source_row,
    _loaded_at as loaded_at

from ranked
