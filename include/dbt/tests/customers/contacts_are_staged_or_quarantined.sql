-- raw = staged + quarantined, as for the other data sets, in a test of its own: no fact waits for contacts.
with

counted as (

    select
        (select count(*) from {{ source('raw', 'customer_contacts') }}) as raw_count,
        (select count(*) from {{ ref('stg_customer_contacts') }}) as staged_count,
        (
            select count(*) from {{ ref('quarantine') }}
            where dataset = 'customer_contacts'
        ) as quarantined_count

)

select *
from counted
where raw_count != staged_count + quarantined_count
