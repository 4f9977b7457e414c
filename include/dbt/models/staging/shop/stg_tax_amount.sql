with

source as (

    select * from {{ ref('base_tax_amount') }}

    where reject_reason is null

),

-- Several rows of a category may spell it in several ways: the newest file's first row shows.
spelled as (

    select
        category_key,
        gst_rate,
        rate_scope,
        starts_on,
        ends_before,
        source_file,
        source_row,
        loaded_at,
        first_value(category) over (
            partition by category_key
            order by loaded_at desc, source_file asc, source_row asc
            rows between unbounded preceding and unbounded following
        ) as category

    from source

),

periods as (

    {{ rates_by_period('spelled', ['category_key']) }}

)

select
    category,
    gst_rate,
    valid_from,
    valid_to,
    loaded_at

from periods

where rate_rank = 1
