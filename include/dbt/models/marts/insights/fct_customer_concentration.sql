with

customers as (

    select
        customer_id,
        sum(net_sales_amount) as net_sales_amount

    from {{ ref('fct_purchase_occasions') }}

    group by customer_id

),

ranked as (

    select
        net_sales_amount,
        ntile(10) over (order by net_sales_amount desc, customer_id asc) as decile

    from customers

),

deciles as (

    select
        decile,
        count(*) as customer_count,
        sum(net_sales_amount) as net_sales_amount

    from ranked

    group by decile

),

accumulated as (

    select
        *,
        sum(net_sales_amount) over () as whole_net_sales_amount,
        sum(net_sales_amount) over (
            order by decile
            rows between unbounded preceding and current row
        ) as cumulative_net_sales_amount

    from deciles

)

select
    cast(decile as integer) as decile,
    cast(customer_count as bigint) as customer_count,
    cast(net_sales_amount as decimal(18, 2)) as net_sales_amount,
    {{ ratio('net_sales_amount', 'whole_net_sales_amount') }} as revenue_share,
    {{ ratio('cumulative_net_sales_amount', 'whole_net_sales_amount') }} as cumulative_share

from accumulated
