with

source as (

    select * from {{ ref('base_discount_coupon') }}

),

renamed as (

    select
        month_number,
        category,
        coupon_code,
        discount_rate,
        loaded_at

    from source

    where reject_reason is null

)

select * from renamed
