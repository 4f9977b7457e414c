with

sales as (

    select * from {{ ref('stg_online_sales') }}

),

coupons as (

    select * from {{ ref('stg_discount_coupon') }}

),

taxes as (

    select * from {{ ref('stg_tax_amount') }}

),

-- Any line may have been priced by any rate, so the newest load of rates counts as every line's.
newest_rates as (

    select max(loaded_at) as loaded_at
    from (
        select loaded_at from coupons
        union all
        select loaded_at from taxes
    ) as rates

),

discounted as (

    select
        sales.transaction_id,
        sales.transaction_occurrence,
        sales.line_number,
        sales.customer_id,
        sales.source_customer_id,
        sales.product_sku,
        sales.category,
        sales.transaction_date,
        sales.quantity,
        sales.avg_price,
        sales.coupon_status,
        taxes.gst_rate,
        greatest(sales.loaded_at, newest_rates.loaded_at) as source_loaded_at,
        {{ money('sales.quantity * sales.avg_price') }} as gross_sales_amount,
        case
            when sales.coupon_status = 'Used' then coupons.coupon_code
        end as coupon_code,
        cast(
            case
                when sales.coupon_status = 'Used' then coalesce(coupons.discount_rate, 0)
                else 0
            end as decimal(9, 6)
        ) as discount_rate,
        -- Every line repeats its order's charge, so any line tells it; the largest settles a disagreement.
        max(sales.delivery_charge_amount) over (
            partition by sales.transaction_id, sales.transaction_occurrence
        ) as transaction_delivery_amount

    from sales

    inner join taxes
        on
            sales.category = taxes.category
            and sales.transaction_date >= taxes.valid_from
            and sales.transaction_date < taxes.valid_to

    left join coupons
        on
            sales.category = coupons.category
            and extract(month from sales.transaction_date) = coupons.month_number
            and sales.transaction_date >= coupons.valid_from
            and sales.transaction_date < coupons.valid_to

    cross join newest_rates

),

netted as (

    select
        *,
        {{ share_of('gross_sales_amount', 'discount_rate') }} as discount_amount,
        gross_sales_amount - {{ share_of('gross_sales_amount', 'discount_rate') }} as net_sales_amount,
        cast(transaction_delivery_amount * 100 as bigint) as delivery_cents,
        -- One cent above the line's value, so that free items carry delivery, too.
        cast(gross_sales_amount * 100 as bigint) + 1 as weight

    from discounted

),

weighted as (

    select
        *,
        sum(weight) over (partition by transaction_id, transaction_occurrence) as total_weight,
        sum(weight) over (
            partition by transaction_id, transaction_occurrence
            order by product_sku, line_number
            rows between unbounded preceding and current row
        ) as running_weight

    from netted

),

-- Each line gets the increase of the running share in whole cents: these add up to the charge exactly.
allocated as (

    select
        *,
        {{ integer_quotient('delivery_cents * running_weight', 'total_weight') }}
        - {{ integer_quotient('delivery_cents * (running_weight - weight)', 'total_weight') }} as line_delivery_cents

    from weighted

),

taxed as (

    select
        transaction_id,
        transaction_occurrence,
        line_number,
        customer_id,
        source_customer_id,
        product_sku,
        category,
        transaction_date,
        quantity,
        cast(avg_price as decimal(18, 4)) as avg_price,
        coupon_status,
        coupon_code,
        discount_rate,
        gst_rate,
        gross_sales_amount,
        discount_amount,
        net_sales_amount,
        {{ share_of('net_sales_amount', 'gst_rate') }} as gst_amount,
        cast(line_delivery_cents * 0.01 as decimal(18, 2)) as delivery_amount,
        source_loaded_at

    from allocated

)

select
    -- The plain key wherever it is enough, so that ids stay what they were.
    case
        when transaction_occurrence = 1 and line_number = 1
            then {{ surrogate_key(['transaction_id', 'product_sku']) }}
        else {{ surrogate_key(['transaction_id', 'product_sku', 'transaction_occurrence', 'line_number']) }}
    end as sales_line_id,
    *,
    net_sales_amount + gst_amount + delivery_amount as total_amount

from taxed
