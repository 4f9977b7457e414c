with

source as (

    select * from {{ ref('base_tax_amount') }}

),

renamed as (

    select
        category,
        gst_rate,
        cast('0001-01-01' as date) as valid_from,
        cast('9999-12-31' as date) as valid_to,
        loaded_at

    from source

    where reject_reason is null

)

select * from renamed
