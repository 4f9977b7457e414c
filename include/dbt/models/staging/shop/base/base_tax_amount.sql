{{ config(materialized='table') }}

{% set columns = ['product_category', 'gst', 'year', 'valid_from'] -%}

with

source as (

    select * from {{ source('raw', 'tax_amount') }}

),

day_first_files as (

    {{ day_first_files('source', 'valid_from') }}

),

typed as (

    select
        source.*,
        {{ category_name('source.product_category') }} as category,
        {{ parse_share('source.gst') }} as gst_rate,
        {{ parse_integer('source.year') }} as rate_year,
        {{ parse_date('source.valid_from') }} as first_day,
        day_first_files.day_first_date

    from source

    left join day_first_files on source._load_id = day_first_files._load_id

),

ruled as (

    select
        *,
        case
            when category is null
                then 'product_category is empty'
            when gst_rate is null
                then 'gst is not a rate like 10% or 0.1'
            {{ rate_rule() }}
        end as reject_rule,
        cast(null as varchar) as reject_detail

    from typed

)

select
    category,
    lower(category) as category_key,
    gst_rate,
    {{ rate_scope() }} as rate_scope,
    case
        when first_day is not null then first_day
        when rate_year is not null then {{ first_day_of('rate_year', '1') }}
        else cast('0001-01-01' as date)
    end as starts_on,
    case
        when first_day is null and rate_year is not null then {{ first_day_of('rate_year + 1', '1') }}
        else cast('9999-12-31' as date)
    end as ends_before,
    reject_rule,
    {{ reject_reason(columns) }} as reject_reason,
    false as is_repeated,
    {{ row_as_json(columns) }} as raw_row,
    _source_file as source_file,
    _source_row as source_row,
    _loaded_at as loaded_at

from ruled
