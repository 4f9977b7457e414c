{{ config(materialized='table') }}

{% set columns = ['month', 'product_category', 'coupon_code', 'discount_pct', 'year', 'valid_from'] -%}

with

source as (

    select * from {{ source('raw', 'discount_coupon') }}

),

categories as (

    select distinct category from {{ ref('stg_tax_amount') }}

),

day_first_files as (

    {{ day_first_files('source', 'valid_from') }}

),

typed as (

    select
        source.*,
        {{ parse_month('source.month') }} as month_number,
        {{ category_name('source.product_category') }} as category_as_delivered,
        {{ text_value('source.coupon_code') }} as code,
        {{ parse_share('source.discount_pct', in_percent=true) }} as discount_rate,
        {{ parse_integer('source.year') }} as rate_year,
        {{ parse_date('source.valid_from') }} as first_day,
        day_first_files.day_first_date

    from source

    left join day_first_files on source._load_id = day_first_files._load_id

),

matched as (

    select
        typed.*,
        categories.category

    from typed

    left join categories on lower(typed.category_as_delivered) = lower(categories.category)

),

ruled as (

    select
        *,
        case
            when month_number is null
                then 'month is not a month like Jan or January'
            when category_as_delivered is null
                then 'product_category is empty'
            when category is null
                then 'product_category has no tax rate'
            when discount_rate is null
                then 'discount_pct is not a discount like 10% or 10, or could be 1 or 100 per cent'
            {{ rate_rule() }}
            when first_day is not null and extract(month from first_day) != month_number
                then 'valid_from lies in another month than its row says'
        end as reject_rule,
        cast(null as varchar) as reject_detail

    from matched

),

scoped as (

    select
        *,
        case
            when first_day is not null then {{ first_day_of('extract(year from first_day)', 'month_number') }}
            when rate_year is not null then {{ first_day_of('rate_year', 'month_number') }}
        end as month_start

    from ruled

)

select
    month_number,
    category,
    code as coupon_code,
    discount_rate,
    {{ rate_scope() }} as rate_scope,
    coalesce(first_day, month_start, cast('0001-01-01' as date)) as starts_on,
    coalesce(cast({{ dbt.dateadd('month', 1, 'month_start') }} as date), cast('9999-12-31' as date)) as ends_before,
    reject_rule,
    {{ reject_reason(columns) }} as reject_reason,
    false as is_repeated,
    {{ row_as_json(columns) }} as raw_row,
    _source_file as source_file,
    _source_row as source_row,
    _loaded_at as loaded_at

from scoped
