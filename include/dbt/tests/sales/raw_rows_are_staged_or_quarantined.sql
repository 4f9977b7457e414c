-- raw = staged + quarantined, for each data set: no row is lost on the way.
-- Staging cuts rates into periods, so there the rows of base that were not rejected count.
{% set datasets = ['customers', 'online_sales', 'marketing_spend', 'discount_coupon', 'tax_amount'] -%}

with

counted as (

    {% for dataset in datasets -%}
    select
        '{{ dataset }}' as dataset,
        (select count(*) from {{ source('raw', dataset) }}) as raw_count,
        {% if dataset in ['discount_coupon', 'tax_amount'] -%}
        (
            select count(*) from {{ ref('base_' ~ dataset) }}
            where reject_reason is null
        ) as staged_count,
        {%- else -%}
        (select count(*) from {{ ref('stg_' ~ dataset) }}) as staged_count,
        {%- endif %}
        (
            select count(*) from {{ ref('quarantine') }}
            where dataset = '{{ dataset }}'
        ) as quarantined_count
    {% if not loop.last -%}
    union all
    {% endif -%}
    {% endfor %}
)

select *
from counted
where raw_count != staged_count + quarantined_count or raw_count = 0
