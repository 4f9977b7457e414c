with

sales as (

    select
        *,
        cast(date_trunc('month', transaction_date) as date) as month_start

    from {{ ref('fct_sales') }}

),

-- What a line of the same SKU in the same month holds where the coupon was only clicked.
clicked as (

    select
        product_sku,
        month_start,
        -- Decimal: a sum of floating-point numbers depends on their order.
        cast({{ ratio('sum(quantity)', 'count(*)') }} as decimal(18, 8)) as units_per_line

    from sales

    where coupon_status = 'Clicked'

    group by
        product_sku,
        month_start

),

compared as (

    select
        sales.*,
        clicked.units_per_line as clicked_units_per_line,
        case when clicked.units_per_line is not null then sales.quantity end as compared_quantity

    from sales

    left join clicked
        on
            sales.product_sku = clicked.product_sku
            and sales.month_start = clicked.month_start

),

grouped as (

    select
        month_start,
        category,
        coupon_status,
        count(*) as line_count,
        sum(quantity) as quantity,
        sum(gross_sales_amount) as gross_sales_amount,
        sum(discount_amount) as discount_amount,
        sum(net_sales_amount) as net_sales_amount,
        sum(compared_quantity) as compared_quantity,
        sum(clicked_units_per_line) as expected_quantity

    from compared

    group by
        month_start,
        category,
        coupon_status

)

select
    {{ surrogate_key(['month_start', 'category', 'coupon_status']) }} as coupon_effect_id,
    month_start as month,
    category,
    coupon_status,
    cast(line_count as bigint) as line_count,
    cast(quantity as bigint) as quantity,
    cast(gross_sales_amount as decimal(18, 2)) as gross_sales_amount,
    cast(discount_amount as decimal(18, 2)) as discount_amount,
    cast(net_sales_amount as decimal(18, 2)) as net_sales_amount,
    {{ ratio('discount_amount', 'gross_sales_amount') }} as effective_discount_rate,
    {{ ratio('quantity', 'line_count') }} as units_per_line,
    cast(compared_quantity as bigint) as compared_quantity,
    cast(expected_quantity as double precision) as expected_quantity,
    {{ ratio('compared_quantity', 'expected_quantity') }} as units_against_clicked

from grouped
