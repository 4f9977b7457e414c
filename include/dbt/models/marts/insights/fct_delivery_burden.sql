with

-- Delivery is charged once a transaction, whoever shares it.
transactions as (

    select
        transaction_id,
        transaction_occurrence,
        sum(net_sales_amount) as net_sales_amount,
        sum(delivery_amount) as delivery_amount

    from {{ ref('fct_sales') }}

    group by
        transaction_id,
        transaction_occurrence

),

classed as (

    select
        *,
        {{ categorize_sale_size('net_sales_amount') }} as basket_class

    from transactions

),

summed as (

    select
        basket_class,
        count(*) as transaction_count,
        sum(net_sales_amount) as net_sales_amount,
        sum(delivery_amount) as delivery_amount

    from classed

    group by basket_class

)

select
    basket_class,
    cast(transaction_count as bigint) as transaction_count,
    cast(net_sales_amount as decimal(18, 2)) as net_sales_amount,
    cast(delivery_amount as decimal(18, 2)) as delivery_amount,
    {{ ratio('delivery_amount', 'net_sales_amount') }} as delivery_share

from summed
