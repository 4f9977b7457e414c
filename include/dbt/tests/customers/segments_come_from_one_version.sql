-- The seed holds one version of the model, whole.
select count(distinct model_version) as version_count
from {{ ref('customer_segments') }}
having count(distinct model_version) > 1
