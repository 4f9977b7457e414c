with

source as (

    select * from {{ source('raw', 'tax_amount') }}

),

typed as (

    select
        *,
        {{ clean_text('product_category') }} as category,
        {{ parse_share('gst') }} as gst_rate

    from source

),

ranked as (

    select
        *,
        {{ deduplication_rank(['category']) }} as deduplication_rank

    from typed

)

select
    category,
    gst_rate,
    case
        when category is null
            then 'product_category is empty'
        when gst_rate is null or gst_rate < 0 or gst_rate > 1
            then 'gst ' || {{ quoted('gst') }} || ' is not a rate like 10% or 0.1'
        when deduplication_rank > 1
            then 'product_category ' || {{ quoted('product_category') }} || ' occurs more than once'
    end as reject_reason,
    {{ row_as_json(['product_category', 'gst']) }} as raw_row,
    _source_file as source_file,
    _source_row as source_row,
    _loaded_at as loaded_at

from ranked
