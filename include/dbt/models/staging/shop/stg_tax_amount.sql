with

source as (

    select * from {{ ref('base_tax_amount') }}

),

renamed as (

    select
        category,
        gst_rate,
        loaded_at

    from source

    where reject_reason is null

)

select * from renamed
