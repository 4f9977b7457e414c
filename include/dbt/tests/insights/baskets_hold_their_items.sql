-- No pair is in more baskets than one of its items; a category is in as many as fct_sales says.
with

counted as (

    select
        category,
        count(distinct {{ surrogate_key(['transaction_id', 'transaction_occurrence']) }}) as basket_count

    from {{ ref('fct_sales') }}

    group by category

)

select
    pairs.level,
    pairs.item_a,
    pairs.item_b,
    pairs.basket_count,
    pairs.item_a_count,
    pairs.item_b_count
from {{ ref('fct_basket_affinity') }} as pairs
left join counted as a on pairs.item_a = a.category
left join counted as b on pairs.item_b = b.category
where
    pairs.basket_count > least(pairs.item_a_count, pairs.item_b_count)
    or pairs.item_a >= pairs.item_b
    or (
        pairs.level = 'category'
        and (
            pairs.item_a_count is distinct from a.basket_count
            or pairs.item_b_count is distinct from b.basket_count
        )
    )
