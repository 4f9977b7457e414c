with

source as (

    select * from {{ ref('base_customer_contacts') }}

),

renamed as (

    select
        customer_id,
        email,
        phone,
        consent,
        loaded_at

    from source

    where reject_reason is null

)

select * from renamed
