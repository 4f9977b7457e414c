with

quarantine as (

    select * from {{ ref('quarantine') }}

),

summed as (

    select
        dataset,
        reject_rule,
        is_repeated,
        count(*) as row_count,
        cast(coalesce(sum(gross_amount), 0) as decimal(38, 2)) as gross_amount,
        count(case when dataset = 'online_sales' and gross_amount is null then 1 end) as row_count_of_unknown_amount,
        min(reject_reason) as example

    from quarantine

    group by dataset, reject_rule, is_repeated

)

select * from summed
