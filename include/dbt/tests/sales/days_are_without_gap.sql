-- dim_datetime has as many days as lie between its first and its last.
select count(*) as day_count
from {{ ref('dim_datetime') }}
having count(*) != {{ dbt.datediff('min(date_day)', 'max(date_day)', 'day') }} + 1
