{% set columns = ['date', 'offline_spend', 'online_spend'] -%}

with

source as (

    select * from {{ source('raw', 'marketing_spend') }}

),

day_first_files as (

    {{ day_first_files('source', 'date') }}

),

typed as (

    select
        source.*,
        {{ parse_date('source.date') }} as spend_date,
        {{ parse_decimal('source.offline_spend', number_var('max_spend')) }} as offline_amount,
        {{ parse_decimal('source.online_spend', number_var('max_spend')) }} as online_amount,
        day_first_files.day_first_date

    from source

    left join day_first_files on source._load_id = day_first_files._load_id

),

judged as (

    select
        *,
        case
            when day_first_date is not null and {{ reads_two_ways('date') }}
                then 'date can be read in two ways'
            when spend_date is null or {{ is_impossible_date('spend_date') }}
                then 'date is not a possible date'
            when offline_amount is null
                then 'offline_spend is not an amount up to max_spend = {{ number_var('max_spend') }}'
            when online_amount is null
                then 'online_spend is not an amount up to max_spend = {{ number_var('max_spend') }}'
        end as unusable_rule

    from typed

),

ranked as (

    select
        *,
        {{ newest_file_rank(['unusable_rule', 'spend_date']) }} as newest_file_rank,
        {{ deduplication_rank(['unusable_rule', 'spend_date']) }} as deduplication_rank,
        {{ deduplication_rank(['unusable_rule', 'spend_date', 'offline_amount', 'online_amount']) }} as same_row_rank

    from judged

),

ruled as (

    select
        *,
        case
            when unusable_rule is not null then unusable_rule
            when newest_file_rank > 1 then 'date stands in a newer file too'
            when same_row_rank > 1 then 'date has the same row before'
            when deduplication_rank > 1 then 'date occurs more than once'
        end as reject_rule,
        case
            when unusable_rule = 'date can be read in two ways' then 'its file holds ' || {{ quoted('day_first_date') }}
        end as reject_detail,
        unusable_rule is null and (newest_file_rank > 1 or same_row_rank > 1) as is_repeated

    from ranked

)

select
    spend_date,
    {{ money('offline_amount') }} as offline_spend_amount,
    {{ money('online_amount') }} as online_spend_amount,
    reject_rule,
    {{ reject_reason(columns) }} as reject_reason,
    is_repeated,
    {{ row_as_json(columns) }} as raw_row,
    _source_file as source_file,
    _source_row as source_row,
    _loaded_at as loaded_at

from ruled
