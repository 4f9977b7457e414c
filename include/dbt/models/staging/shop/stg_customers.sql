with

source as (

    select * from {{ ref('base_customers') }}

),

renamed as (

    select
        customer_id,
        gender,
        location,
        customer_tenure_months,
        loaded_at

    from source

    where reject_reason is null

)

select * from renamed
