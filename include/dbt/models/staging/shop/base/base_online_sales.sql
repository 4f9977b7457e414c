{{ config(materialized='table') }}

with

source as (

    select * from {{ source('raw', 'online_sales') }}

),

customers as (

    select customer_id from {{ ref('stg_customers') }}

),

categories as (

    select category from {{ ref('stg_tax_amount') }}

),

typed as (

    select
        *,
        {{ parse_integer('transaction_id') }} as transaction_number,
        {{ parse_integer('customerid') }} as customer_id,
        {{ parse_date('transaction_date') }} as transaction_day,
        {{ clean_text('product_sku') }} as sku,
        {{ clean_text('product_category') }} as category,
        {{ parse_integer('quantity') }} as quantity_count,
        {{ parse_decimal('avg_price') }} as price,
        {{ parse_decimal('delivery_charges') }} as delivery,
        lower({{ clean_text('coupon_status') }}) as coupon_status_key

    from source

),

ranked as (

    select
        typed.*,
        customers.customer_id is not null as is_known_customer,
        categories.category is not null as is_known_category,
        {{ deduplication_rank(['typed.transaction_number', 'typed.sku']) }} as deduplication_rank

    from typed

    left join customers on typed.customer_id = customers.customer_id

    left join categories on typed.category = categories.category

)

select
    transaction_number as transaction_id,
    customer_id,
    transaction_day as transaction_date,
    sku as product_sku,
    replace(replace({{ clean_text('product_description') }}, '&quot;', '"'), '&amp;', '&') as product_name,
    category,
    quantity_count as quantity,
    cast(price as decimal(18, 4)) as avg_price,
    {{ money('delivery') }} as delivery_charge_amount,
    case coupon_status_key
        when 'used' then 'Used'
        when 'clicked' then 'Clicked'
        when 'not used' then 'Not Used'
    end as coupon_status,
    case
        when transaction_number is null
            then 'transaction_id ' || {{ quoted('transaction_id') }} || ' is not a whole number'
        when customer_id is null
            then 'customerid ' || {{ quoted('customerid') }} || ' is not a whole number'
        when not is_known_customer
            then 'customerid ' || {{ quoted('customerid') }} || ' is not among the customers'
        when transaction_day is null or {{ is_impossible_date('transaction_day') }}
            then 'transaction_date ' || {{ quoted('transaction_date') }} || ' is not a possible date'
        when sku is null
            then 'product_sku is empty'
        when not is_known_category
            then 'product_category ' || {{ quoted('product_category') }} || ' has no tax rate'
        when quantity_count is null or quantity_count <= 0
            then 'quantity ' || {{ quoted('quantity') }} || ' is not a positive whole number'
        when price is null or price < 0
            then 'avg_price ' || {{ quoted('avg_price') }} || ' is not an amount'
        when delivery is null or delivery < 0
            then 'delivery_charges ' || {{ quoted('delivery_charges') }} || ' is not an amount'
        when coupon_status_key is null or coupon_status_key not in ('used', 'clicked', 'not used')
            then 'coupon_status ' || {{ quoted('coupon_status') }} || ' is not Used, Clicked or Not Used'
        when deduplication_rank > 1
            then 'transaction_id ' || {{ quoted('transaction_id') }} || ' and product_sku '
                || {{ quoted('product_sku') }} || ' occur more than once'
    end as reject_reason,
    case
        when reject_reason is not null
            then {{ row_as_json([
                'customerid', 'transaction_id', 'transaction_date', 'product_sku', 'product_description',
                'product_category', 'quantity', 'avg_price', 'delivery_charges', 'coupon_status'
            ]) }}
    end as raw_row,
    _source_file as source_file,
    _source_row as source_row,
    _loaded_at as loaded_at

from ranked
