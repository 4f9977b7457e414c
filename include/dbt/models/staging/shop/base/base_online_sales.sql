{{ config(materialized='table') }}

{% set max_delivery = number_var('max_delivery_charge') -%}
{% set columns = [
    'customerid', 'transaction_id', 'transaction_date', 'product_sku', 'product_description',
    'product_category', 'quantity', 'avg_price', 'delivery_charges', 'coupon_status'
] -%}

with

source as (

    select * from {{ source('raw', 'online_sales') }}

),

customers as (

    select customer_id from {{ ref('stg_customers') }}

),

taxes as (

    select * from {{ ref('stg_tax_amount') }}

),

day_first_files as (

    {{ day_first_files('source', 'transaction_date') }}

),

typed as (

    select
        *,
        {{ parse_integer('transaction_id') }} as transaction_number,
        {{ parse_integer('customerid') }} as source_customer_id,
        {{ text_value('customerid') }} as customer_text,
        {{ parse_date('transaction_date') }} as transaction_day,
        {{ text_value('product_sku') }} as sku,
        {{ category_name('product_category') }} as category_as_delivered,
        {{ parse_integer('quantity') }} as quantity_number,
        {{ parse_decimal('avg_price', number_var('max_price')) }} as price,
        {{ parse_decimal('delivery_charges', max_delivery) }} as delivery,
        coalesce(lower({{ squeeze_blanks(text_value('coupon_status')) }}), 'unknown') as coupon_status_key

    from source

),

matched as (

    select
        typed.*,
        customers.customer_id is not null as is_known_customer,
        taxes.category,
        day_first_files.day_first_date,
        case
            when abs(typed.quantity_number) <= {{ number_var('max_quantity', whole=true) }}
                then {{ money('abs(typed.quantity_number) * typed.price') }}
        end as gross_amount

    from typed

    left join customers on typed.source_customer_id = customers.customer_id

    left join taxes
        on
            lower(typed.category_as_delivered) = lower(taxes.category)
            and typed.transaction_day >= taxes.valid_from
            and typed.transaction_day < taxes.valid_to

    left join day_first_files on typed._load_id = day_first_files._load_id

),

judged as (

    select
        *,
        case
            when transaction_number is null
                then 'transaction_id is not a whole number'
            when source_customer_id is null and customer_text is not null
                then 'customerid is not a whole number'
            when day_first_date is not null and {{ reads_two_ways('transaction_date') }}
                then 'transaction_date can be read in two ways'
            when transaction_day is null or {{ is_impossible_date('transaction_day') }}
                then 'transaction_date is not a possible date'
            when sku is null
                then 'product_sku is empty'
            when category is null
                then 'product_category has no tax rate'
            when quantity_number is null or quantity_number <= 0
                then 'quantity is not a positive whole number'
            when quantity_number > {{ number_var('max_quantity', whole=true) }}
                then 'quantity is above max_quantity = {{ number_var('max_quantity', whole=true) }}'
            when price is null
                then 'avg_price is not an amount up to max_price = {{ number_var('max_price') }}'
            when delivery is null
                then 'delivery_charges is not an amount up to max_delivery_charge = {{ max_delivery }}'
            when coupon_status_key not in ('used', 'clicked', 'not used', 'unknown')
                then 'coupon_status is not Used, Clicked or Not Used'
        end as unusable_rule

    from matched

),

-- Rows that cannot be used stand apart in every window: they neither hide a good row nor move its number.
ranked as (

    select
        *,
        first_value(_source_file) over (
            partition by unusable_rule, transaction_number, sku, transaction_day
            order by _loaded_at desc, _source_file asc
            rows between unbounded preceding and unbounded following
        ) as newest_file,
        {{ newest_file_rank(['unusable_rule', 'transaction_number', 'sku', 'transaction_day']) }} as newest_file_rank,
        min(_source_row) over (
            partition by
                unusable_rule, transaction_number, sku, transaction_day, _loaded_at, _source_file, source_customer_id,
                category, quantity_number, price, delivery, coupon_status_key
        ) as first_same_row,
        case
            when
                {{ dbt.datediff(
                    'lag(transaction_day) over (partition by unusable_rule, transaction_number order by transaction_day)',
                    'transaction_day', 'day'
                ) }} > {{ number_var('reused_transaction_gap_days', whole=true) }}
                then 1
            else 0
        end as is_after_gap

    from judged

),

ruled as (

    select
        *,
        cast(1 + sum(is_after_gap) over (
            partition by unusable_rule, transaction_number
            order by transaction_day
            range between unbounded preceding and current row
        ) as integer) as transaction_occurrence,
        case
            when unusable_rule is not null then unusable_rule
            when newest_file_rank > 1 then 'transaction_id has this product and day in a newer file too'
            when first_same_row < _source_row then 'transaction_id has the same line before'
        end as reject_rule,
        case
            when unusable_rule = 'product_category has no tax rate' then 'on ' || cast(transaction_day as varchar)
            when unusable_rule = 'transaction_date can be read in two ways'
                then 'its file holds ' || {{ quoted('day_first_date') }}
            when unusable_rule is not null then null
            when newest_file_rank > 1 then newest_file
            when first_same_row < _source_row then 'it is the same line as row ' || cast(first_same_row as varchar)
        end as reject_detail

    from ranked

),

numbered as (

    select
        *,
        cast(row_number() over (
            partition by reject_rule, transaction_number, transaction_occurrence, sku
            order by
                transaction_day, source_customer_id, price, quantity_number, coupon_status_key, delivery, category
        ) as integer) as line_number,
        max(delivery) over (
            partition by reject_rule, transaction_number, transaction_occurrence
        ) as transaction_delivery

    from ruled

)

select
    transaction_number as transaction_id,
    transaction_occurrence,
    line_number,
    case when is_known_customer then source_customer_id else {{ unknown_customer_id() }} end as customer_id,
    source_customer_id,
    transaction_day as transaction_date,
    sku as product_sku,
    replace(replace({{ text_value('product_description') }}, '&quot;', '"'), '&amp;', '&') as product_name,
    coalesce(category, category_as_delivered) as category,
    quantity_number as quantity,
    price as avg_price,
    {{ money('delivery') }} as delivery_charge_amount,
    case coupon_status_key
        when 'used' then 'Used'
        when 'clicked' then 'Clicked'
        when 'not used' then 'Not Used'
        when 'unknown' then 'Unknown'
    end as coupon_status,
    gross_amount as gross_sales_amount,
    case
        when reject_rule is null
            then
                nullif(
                    case
                        when coupon_status_key = 'unknown' then 'coupon_status is empty, so no discount is given. '
                        else ''
                    end
                    || case
                        when gross_amount > {{ number_var('max_transaction_amount') }}
                            then
                                'its gross amount of ' || cast(gross_amount as varchar)
                                || ' is above max_transaction_amount = {{ number_var('max_transaction_amount') }}. '
                        else ''
                    end
                    || case
                        when delivery > 0 and delivery < transaction_delivery
                            then
                                'its delivery charge of ' || cast({{ money('delivery') }} as varchar)
                                || ' does not count, since its transaction also has '
                                || cast({{ money('transaction_delivery') }} as varchar) || '. '
                        else ''
                    end,
                    ''
                )
    end as warning,
    reject_rule,
    {{ reject_reason(columns) }} as reject_reason,
    coalesce(unusable_rule is null and reject_rule is not null, false) as is_repeated,
    case when reject_rule is not null then {{ row_as_json(columns) }} end as raw_row,
    _source_file as source_file,
    _source_row as source_row,
    _loaded_at as loaded_at

from numbered
