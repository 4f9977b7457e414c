-- The raw tables hold exactly the rows of each part's newest load: nothing half-loaded, nothing twice. One that was
-- never loaded is empty.
{% set datasets = [
    'customers', 'online_sales', 'marketing_spend', 'discount_coupon', 'tax_amount', 'customer_contacts',
] -%}

with

newest as (

    select
        dataset,
        row_count,
        row_number() over (partition by dataset, part order by loaded_at desc) as recency_number

    from {{ source('raw', 'ingestion_ledger') }}

),

expected as (

    select
        dataset,
        sum(row_count) as row_count

    from newest

    where recency_number = 1

    group by dataset

),

found as (

    {% for dataset in datasets -%}
    select
        '{{ dataset }}' as dataset,
        count(*) as row_count
    from {{ source('raw', dataset) }}
    {% if not loop.last -%}
    union all
    {% endif -%}
    {% endfor %}
)

select
    found.dataset,
    found.row_count,
    expected.row_count as ledger_row_count
from found
left join expected on found.dataset = expected.dataset
where found.row_count != coalesce(expected.row_count, 0)
