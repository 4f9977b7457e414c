with

sales as (

    select
        *,
        cast(date_trunc('month', transaction_date) as date) as month_start

    from {{ ref('fct_sales') }}

),

months as (

    select distinct month_start from {{ ref('dim_datetime') }}

),

bounds as (

    select
        min(month_start) as first_month,
        max(month_start) as last_month

    from sales

),

skus as (

    select
        month_start,
        category,
        product_sku,
        sum(quantity) as quantity,
        sum(net_sales_amount) as net_sales_amount

    from sales

    group by
        month_start,
        category,
        product_sku

),

skus_before as (

    select
        cast({{ dbt.dateadd('month', 1, 'month_start') }} as date) as month_start,
        category,
        product_sku,
        quantity as quantity_before,
        net_sales_amount as net_sales_before

    from skus

),

-- One row for each SKU sold in the month or in the one before.
compared_skus as (

    select
        coalesce(skus.month_start, skus_before.month_start) as month_start,
        coalesce(skus.category, skus_before.category) as category,
        skus.quantity,
        skus.net_sales_amount,
        skus_before.quantity_before,
        skus_before.net_sales_before,
        -- What its units would have cost at its mean price of the month before.
        case
            when skus.quantity is not null
                then skus_before.net_sales_before * ({{ ratio('skus.quantity', 'skus_before.quantity_before') }})
        end as net_sales_at_price_before

    from skus

    full outer join skus_before
        on
            skus.month_start = skus_before.month_start
            and skus.category = skus_before.category
            and skus.product_sku = skus_before.product_sku

),

categories as (

    select
        month_start,
        category,
        coalesce(sum(quantity), 0) as quantity,
        coalesce(sum(net_sales_amount), 0) as net_sales_amount,
        sum(quantity_before) as quantity_before,
        sum(net_sales_before) as net_sales_before,
        count(quantity) as sku_count,
        coalesce(
            sum(
                case
                    when net_sales_at_price_before is not null
                        then cast(net_sales_amount as double precision) - net_sales_at_price_before
                end
            ), 0
        ) as price_effect

    from compared_skus

    group by
        month_start,
        category

),

effects as (

    select
        categories.*,
        case when categories.net_sales_before is not null then {{ money('categories.price_effect') }} end
            as price_effect_amount,
        {{ money(
            "cast(categories.net_sales_before as double precision) * ("
            ~ ratio('categories.quantity - categories.quantity_before', 'categories.quantity_before') ~ ")"
        ) }} as volume_effect_amount,
        case
            when categories.month_start = bounds.first_month then null
            when categories.net_sales_before is null then 'new'
            when categories.sku_count = 0 then 'ended'
            else 'continuing'
        end as category_state

    from categories

    inner join months on categories.month_start = months.month_start

    inner join bounds on categories.month_start <= bounds.last_month

)

select
    {{ surrogate_key(['month_start', 'category']) }} as category_monthly_id,
    month_start as month,
    category,
    cast(quantity as bigint) as quantity,
    cast(net_sales_amount as decimal(18, 2)) as net_sales_amount,
    cast(net_sales_before as decimal(18, 2)) as net_sales_before,
    price_effect_amount,
    volume_effect_amount,
    cast(
        net_sales_amount - net_sales_before - price_effect_amount - volume_effect_amount as decimal(18, 2)
    ) as mix_effect_amount,
    category_state as state

from effects
