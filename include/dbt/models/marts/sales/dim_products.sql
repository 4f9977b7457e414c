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

-- The newest sale tells a product's present name, category and tax rate.
ranked as (

    select
        product_sku,
        product_name,
        category,
        transaction_date,
        row_number() over (
            partition by product_sku
            order by transaction_date desc, transaction_id desc, line_number desc
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

inner join taxes
    on
        ranked.category = taxes.category
        and ranked.transaction_date >= taxes.valid_from
        and ranked.transaction_date < taxes.valid_to

left join product_groups on lower(ranked.category) = lower(product_groups.category)

where ranked.recency_number = 1
