-- The mart has every customer of the seed, with the seed's segment, and no other customer.
select
    coalesce(seeded.customer_id, marted.customer_id) as customer_id,
    seeded.segment_id as seeded_segment_id,
    marted.segment_id
from {{ ref('customer_segments') }} as seeded
full outer join {{ ref('fct_customer_segments') }} as marted on seeded.customer_id = marted.customer_id
where
    seeded.segment_id is distinct from marted.segment_id
    or seeded.segment_name is distinct from marted.segment_name
    or seeded.model_version is distinct from marted.model_version
