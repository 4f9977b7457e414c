-- An id keeps its name and meaning, whatever the model; ids from 5 are the further segments of a larger model.
select distinct
    segment_id,
    segment_name
from {{ ref('int_segment_scores') }}
where
    segment_name != case segment_id
        when 0 then 'Big Spenders'
        when 1 then 'At-Risk (Lapsing)'
        when 2 then 'Occasional Shoppers'
        when 3 then 'Champions (VIPs)'
        when 4 then 'Loyal Customers'
        else 'Further Segment ' || cast(segment_id - 4 as varchar)
    end
    or segment_id < 0
