with

source as (

    select * from {{ source('raw', 'marketing_spend') }}

),

typed as (

    select
        *,
        {{ parse_date('date') }} as spend_date,
        {{ parse_decimal('offline_spend') }} as offline_amount,
        {{ parse_decimal('online_spend') }} as online_amount

    from source

),

ranked as (

    select
        *,
        {{ deduplication_rank(['spend_date']) }} as deduplication_rank

    from typed

)

select
    spend_date,
    {{ money('offline_amount') }} as offline_spend_amount,
    {{ money('online_amount') }} as online_spend_amount,
    case
        when spend_date is null or {{ is_impossible_date('spend_date') }}
            then 'date ' || {{ quoted('date') }} || ' is not a possible date'
        when offline_amount is null or offline_amount < 0
            then 'offline_spend ' || {{ quoted('offline_spend') }} || ' is not an amount'
        when online_amount is null or online_amount < 0
            then 'online_spend ' || {{ quoted('online_spend') }} || ' is not an amount'
        when deduplication_rank > 1
            then 'date ' || {{ quoted('date') }} || ' occurs more than once'
    end as reject_reason,
    {{ row_as_json(['date', 'offline_spend', 'online_spend']) }} as raw_row,
    _source_file as source_file,
    _source_row as source_row,
    _loaded_at as loaded_at

from ranked
