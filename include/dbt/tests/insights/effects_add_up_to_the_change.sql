-- Price, volume and mix add up to the change, exactly; there are none without a month before.
select
    category_monthly_id,
    net_sales_amount,
    net_sales_before,
    price_effect_amount,
    volume_effect_amount,
    mix_effect_amount
from {{ ref('fct_category_monthly') }}
where
    net_sales_amount - net_sales_before
    is distinct from price_effect_amount + volume_effect_amount + mix_effect_amount
    or (net_sales_before is null and coalesce(price_effect_amount, volume_effect_amount) is not null)
    or (net_sales_before is not null and coalesce(state, 'new') = 'new')
    or (state = 'ended' and (quantity != 0 or net_sales_amount != 0))
