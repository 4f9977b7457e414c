-- The current stays are the segments of the scores: each customer in exactly one.
with

lasting as (

    select
        customer_id,
        segment_id,
        count(*) over (partition by customer_id) as stay_count

    from {{ ref('segment_history') }}

    where dbt_valid_to is null

)

select
    coalesce(scored.customer_id, lasting.customer_id) as customer_id,
    scored.segment_id,
    lasting.segment_id as lasting_segment_id
from {{ ref('int_segment_scores') }} as scored
full outer join lasting on scored.customer_id = lasting.customer_id
where
    scored.segment_id is distinct from lasting.segment_id
    or lasting.stay_count != 1
