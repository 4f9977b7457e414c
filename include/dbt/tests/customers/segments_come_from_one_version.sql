-- All rows of the seed come from one version of the model.
select count(distinct model_version) as version_count
from {{ ref('customer_segments') }}
having count(distinct model_version) > 1
