with

products as (

    select * from {{ ref('dim_products') }}

),

sales as (

    select
        sales.product_sku,
        products.product_name,
        products.category,
        sales.quantity,
        sales.net_sales_amount

    from {{ ref('fct_sales') }} as sales

    inner join products on sales.product_sku = products.product_sku

),

items as (

    {% for level, item in {'sku': 'product_sku', 'name': 'product_name'}.items() -%}
    select
        '{{ level }}' as product_level,
        {{ item }} as item,
        min(product_name) as product_name,
        min(category) as category,
        count(distinct category) as category_count,
        sum(quantity) as quantity,
        sum(net_sales_amount) as net_sales_amount

    from sales

    group by {{ item }}
    {% if not loop.last -%}
    union all
    {% endif -%}
    {% endfor %}
),

ranked as (

    select
        *,
        row_number() over (
            partition by product_level
            order by net_sales_amount desc, item asc
        ) as revenue_rank,
        sum(net_sales_amount) over (partition by product_level) as level_net_sales_amount,
        sum(net_sales_amount) over (
            partition by product_level
            order by net_sales_amount desc, item asc
            rows between unbounded preceding and current row
        ) as cumulative_net_sales_amount

    from items

),

-- An item belongs where it begins, so that the one that passes 80 % is still A.
shared as (

    select
        *,
        {{ ratio('cumulative_net_sales_amount - net_sales_amount', 'level_net_sales_amount') }} as share_before

    from ranked

)

select
    {{ surrogate_key(['product_level', 'item']) }} as product_abc_id,
    product_level as level,
    item,
    product_name,
    case when category_count = 1 then category else 'Several categories' end as category,
    cast(quantity as bigint) as quantity,
    cast(net_sales_amount as decimal(18, 2)) as net_sales_amount,
    cast(revenue_rank as bigint) as revenue_rank,
    {{ ratio('net_sales_amount', 'level_net_sales_amount') }} as revenue_share,
    {{ ratio('cumulative_net_sales_amount', 'level_net_sales_amount') }} as cumulative_share,
    case
        when share_before < 0.8 then 'A'
        when share_before < 0.95 then 'B'
        else 'C'
    end as abc_class

from shared
