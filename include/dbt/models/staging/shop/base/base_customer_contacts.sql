{% set columns = ['customer_id', 'email', 'phone', 'consent'] -%}

with

source as (

    select * from {{ source('raw', 'customer_contacts') }}

),

typed as (

    select
        *,
        {{ parse_integer('customer_id') }} as customer_number,
        {{ text_value('email') }} as email_text,
        {{ text_value('phone') }} as phone_text,
        {{ parse_switch('consent') }} as has_consented

    from source

),

judged as (

    select
        *,
        case
            when {{ matches_pattern('email_text', "'^[^@ ]+@[^@ ]+[.][^@ ]+$'") }} then email_text
        end as email_address,
        case
            when {{ matches_pattern('phone_text', "'^[+]?[(]?[0-9]([0-9 ()/-]|[.] ?[0-9][0-9])*$'") }} then phone_text
        end as phone_number,
        case
            when customer_number is null
                then 'customer_id is not a whole number'
            when customer_number = {{ unknown_customer_id() }}
                then 'customer_id is what stands for customers who are not known'
            when has_consented is null
                then 'consent is none of yes, y, true, 1, no, n, false, 0 and empty'
        end as unusable_rule,
        -- Who refuses in one row of a file refuses, whatever the others say.
        min(case when has_consented then 1 else 0 end) over (
            partition by customer_number, _load_id
        ) = 1 as has_consented_throughout

    from typed

),

ranked as (

    select
        *,
        -- A newer row counts even where it cannot be used: an older one knows nothing of a consent withdrawn since.
        {{ newest_file_rank(['customer_number']) }} as newest_file_rank,
        {{ deduplication_rank(['unusable_rule', 'customer_number']) }} as deduplication_rank,
        {{ deduplication_rank([
            'unusable_rule', 'customer_number', 'email_address', 'phone_number', 'has_consented'
        ]) }} as same_row_rank

    from judged

),

ruled as (

    select
        *,
        case
            when unusable_rule is not null then unusable_rule
            when newest_file_rank > 1 then 'customer_id stands in a newer file too'
            when same_row_rank > 1 then 'customer_id has the same row before'
            when deduplication_rank > 1 then 'customer_id occurs more than once'
        end as reject_rule,
        cast(null as varchar) as reject_detail,
        unusable_rule is null and (newest_file_rank > 1 or same_row_rank > 1) as is_repeated

    from ranked

)

select
    customer_number as customer_id,
    email_address as email,
    phone_number as phone,
    has_consented_throughout as consent,
    -- Without the values, since warnings go into logs.
    case
        when reject_rule is not null then null
        when email_address is null and email_text is not null and phone_number is null and phone_text is not null
            then 'email is no address and phone no number, so both count as empty'
        when email_address is null and email_text is not null
            then 'email is no address, so it counts as empty'
        when phone_number is null and phone_text is not null
            then 'phone is no number, so it counts as empty'
    end as warning,
    reject_rule,
    {{ reject_reason(columns) }} as reject_reason,
    is_repeated,
    {{ row_as_json(columns) }} as raw_row,
    _source_file as source_file,
    _source_row as source_row,
    _loaded_at as loaded_at

from ruled
