-- The mart has every scored customer, with the score's segment, and no other customer.
select
    coalesce(scored.customer_id, marted.customer_id) as customer_id,
    scored.segment_id as scored_segment_id,
    marted.segment_id
from {{ ref('int_segment_scores') }} as scored
full outer join {{ ref('fct_customer_segments') }} as marted on scored.customer_id = marted.customer_id
where
    scored.segment_id is distinct from marted.segment_id
    or scored.segment_name is distinct from marted.segment_name
    or scored.model_version is distinct from marted.model_version
