{% set columns = ['customerid', 'gender', 'location', 'tenure_months'] -%}
{% set max_months = number_var('max_tenure_months', whole=true) -%}

with

source as (

    select * from {{ source('raw', 'customers') }}

),

typed as (

    select
        *,
        {{ parse_integer('customerid') }} as customer_id,
        case
            when lower({{ text_value('gender') }}) in ('f', 'female') then 'F'
            when lower({{ text_value('gender') }}) in ('m', 'male') then 'M'
        end as gender_code,
        {{ text_value('gender') }} as gender_text,
        {{ text_value('location') }} as location_name,
        {{ parse_integer('tenure_months') }} as customer_tenure_months

    from source

),

judged as (

    select
        *,
        case
            when customer_id is null
                then 'customerid is not a whole number'
            when customer_id = {{ unknown_customer_id() }}
                then 'customerid is what stands for customers who are not known'
            when
                customer_tenure_months is null
                or customer_tenure_months not between 0 and {{ max_months }}
                then 'tenure_months is not a number of months up to max_tenure_months = {{ max_months }}'
        end as unusable_rule

    from typed

),

ranked as (

    select
        *,
        {{ newest_file_rank(['unusable_rule', 'customer_id']) }} as newest_file_rank,
        {{ deduplication_rank(['unusable_rule', 'customer_id']) }} as deduplication_rank,
        {{ deduplication_rank([
            'unusable_rule', 'customer_id', 'gender_code', 'location_name', 'customer_tenure_months'
        ]) }} as same_row_rank

    from judged

),

ruled as (

    select
        *,
        case
            when unusable_rule is not null then unusable_rule
            when newest_file_rank > 1 then 'customerid stands in a newer file too'
            when same_row_rank > 1 then 'customerid has the same row before'
            when deduplication_rank > 1 then 'customerid occurs more than once'
        end as reject_rule,
        cast(null as varchar) as reject_detail,
        unusable_rule is null and (newest_file_rank > 1 or same_row_rank > 1) as is_repeated

    from ranked

)

select
    customer_id,
    gender_code as gender,
    location_name as location,
    customer_tenure_months,
    case
        when reject_rule is null and gender_code is null and gender_text is not null
            then 'gender ' || {{ quoted('gender') }} || ' is neither F nor M, so it counts as empty'
    end as warning,
    reject_rule,
    {{ reject_reason(columns) }} as reject_reason,
    is_repeated,
    {{ row_as_json(columns) }} as raw_row,
    _source_file as source_file,
    _source_row as source_row,
    _loaded_at as loaded_at

from ruled
