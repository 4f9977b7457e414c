-- Every customer has exactly one current version.
select
    customer_id,
    count(*) as current_versions
from {{ ref('customer_snapshot') }}
where dbt_valid_to is null
group by customer_id
having count(*) != 1
