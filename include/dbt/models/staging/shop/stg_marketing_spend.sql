with

source as (

    select * from {{ ref('base_marketing_spend') }}

),

renamed as (

    select
        spend_date,
        offline_spend_amount,
        online_spend_amount,
        loaded_at

    from source

    where reject_reason is null

)

select * from renamed
