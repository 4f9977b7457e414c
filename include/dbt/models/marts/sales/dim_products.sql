with

sales as (

    select * from {{ ref('stg_online_sales') }}

),

taxes as (

    select * from {{ ref('stg_tax_amount') }}

),

product_groups as (

    select * from {{ ref('product_groups') }}

),

-- The newest sale tells a product's present name and category.
numbered as (

    select
        product_sku,
        product_name,
        category,
        row_number() over (
            partition by product_sku
            order by transaction_date desc, transaction_id desc
        ) as recency_number

    from sales

)

select
    numbered.product_sku,
    numbered.product_name,
    numbered.category,
    coalesce(product_groups.product_group, 'Other') as product_group,
    taxes.gst_rate

from numbered

inner join taxes on numbered.category = taxes.category

left join product_groups on numbered.category = product_groups.category

where numbered.recency_number = 1
