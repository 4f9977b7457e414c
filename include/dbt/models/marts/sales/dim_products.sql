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

-- A product's name and category are those of its newest sale.
ranked as (

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
    ranked.product_sku,
    ranked.product_name,
    ranked.category,
    coalesce(product_groups.product_group, 'Other') as product_group,
    taxes.gst_rate

from ranked

inner join taxes on ranked.category = taxes.category

left join product_groups on ranked.category = product_groups.category

where ranked.recency_number = 1
