-- All rows of the seed come from one version of the model: the one in use, where there is a model.
with

versions as (

    select model_version from {{ ref('customer_segments') }}

    union distinct

    select model_version from {{ ref('segment_model') }}
    where model_role = 'in_use'

)

select count(*) as version_count
from versions
having count(*) > 1
