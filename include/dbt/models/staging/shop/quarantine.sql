with

{% set datasets = [
    'customers', 'online_sales', 'marketing_spend', 'discount_coupon', 'tax_amount', 'customer_contacts',
] -%}
{% for dataset in datasets -%}
{{ dataset }} as (

    select
        '{{ dataset }}' as dataset,
        source_file,
        source_row,
        reject_rule,
        reject_reason,
        is_repeated,
        {{ 'gross_sales_amount' if dataset == 'online_sales' else 'cast(null as decimal(18, 2))' }} as gross_amount,
        raw_row,
        loaded_at

    from {{ ref('base_' ~ dataset) }}

    where reject_reason is not null

),

{% endfor -%}
unioned as (

    {% for dataset in datasets -%}
    select * from {{ dataset }}
    {% if not loop.last -%}
    union all
    {% endif -%}
    {% endfor %}
)

select * from unioned
