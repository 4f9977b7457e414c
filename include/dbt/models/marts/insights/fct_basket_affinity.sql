with

sales as (

    select
        sales.transaction_id,
        sales.transaction_occurrence,
        sales.category,
        products.product_name

    from {{ ref('fct_sales') }} as sales

    inner join {{ ref('dim_products') }} as products on sales.product_sku = products.product_sku

),

-- A basket is a transaction, whoever shares it. Names, not SKUs: colours and sizes of one product would lead.
items as (

    {% for level, item in {'name': 'product_name', 'category': 'category'}.items() -%}
    select distinct
        '{{ level }}' as affinity_level,
        {{ surrogate_key(['transaction_id', 'transaction_occurrence']) }} as basket_id,
        {{ item }} as item

    from sales
    {% if not loop.last -%}
    union all
    {% endif -%}
    {% endfor %}
),

baskets as (

    select count(distinct basket_id) as total_count from items

),

item_counts as (

    select
        affinity_level,
        item,
        count(*) as item_count

    from items

    group by
        affinity_level,
        item

),

frequent as (

    select items.*

    from items

    inner join item_counts
        on
            items.affinity_level = item_counts.affinity_level
            and items.item = item_counts.item

    where item_counts.item_count >= {{ number_var('min_basket_count', whole=true) }}

),

pairs as (

    select
        one.affinity_level,
        one.item as item_a,
        other.item as item_b,
        count(*) as basket_count

    from frequent as one

    inner join frequent as other
        on
            one.affinity_level = other.affinity_level
            and one.basket_id = other.basket_id
            and one.item < other.item

    group by
        one.affinity_level,
        one.item,
        other.item

    having count(*) >= {{ number_var('min_basket_count', whole=true) }}

),

counted as (

    select
        pairs.affinity_level,
        pairs.item_a,
        pairs.item_b,
        pairs.basket_count,
        a.item_count as item_a_count,
        b.item_count as item_b_count,
        baskets.total_count

    from pairs

    inner join item_counts as a
        on
            pairs.affinity_level = a.affinity_level
            and pairs.item_a = a.item

    inner join item_counts as b
        on
            pairs.affinity_level = b.affinity_level
            and pairs.item_b = b.item

    cross join baskets

)

select
    {{ surrogate_key(['affinity_level', 'item_a', 'item_b']) }} as basket_affinity_id,
    affinity_level as level,
    item_a,
    item_b,
    cast(basket_count as bigint) as basket_count,
    cast(item_a_count as bigint) as item_a_count,
    cast(item_b_count as bigint) as item_b_count,
    {{ ratio('basket_count', 'total_count') }} as support,
    {{ ratio('basket_count', 'item_a_count') }} as confidence_a_to_b,
    {{ ratio('basket_count', 'item_b_count') }} as confidence_b_to_a,
    {{ ratio('basket_count', 'item_a_count') }} / ({{ ratio('item_b_count', 'total_count') }}) as lift

from counted
