with

source as (

    select * from {{ source('raw', 'customers') }}

),

typed as (

    select
        *,
        {{ parse_integer('customerid') }} as customer_id,
        {{ parse_integer('tenure_months') }} as customer_tenure_months

    from source

),

ranked as (

    select
        *,
        {{ deduplication_rank(['customer_id']) }} as deduplication_rank

    from typed

)

select
    customer_id,
    upper({{ clean_text('gender') }}) as gender,
    {{ clean_text('location') }} as location,
    customer_tenure_months,
    case
        when customer_id is null
            then 'customerid ' || {{ quoted('customerid') }} || ' is not a whole number'
        when customer_tenure_months is null or customer_tenure_months < 0
            then 'tenure_months ' || {{ quoted('tenure_months') }} || ' is not a number of months'
        when deduplication_rank > 1
            then 'customerid ' || {{ quoted('customerid') }} || ' occurs more than once'
    end as reject_reason,
    {{ row_as_json(['customerid', 'gender', 'location', 'tenure_months']) }} as raw_row,
    _source_file as source_file,
    _source_row as source_row,
    _loaded_at as loaded_at

from ranked
