with

sales as (

    select transaction_date as date_day from {{ ref('stg_online_sales') }}

),

marketing_spend as (

    select spend_date as date_day from {{ ref('stg_marketing_spend') }}

),

bounds as (

    select
        min(date_day) as first_day,
        max(date_day) as last_day

    from (
        select date_day from sales
        union all
        select date_day from marketing_spend
    ) as days

),

-- 65,536 days are 179 years; days after the last one are filtered out below.
numbers as (

    {{ dbt.generate_series(65536) }}

),

days as (

    select
        cast(
            {{ dbt.dateadd('day', 'cast(numbers.generated_number as integer) - 1', 'bounds.first_day') }} as date
        ) as date_day

    from numbers

    cross join bounds

    where
        cast(numbers.generated_number as integer) - 1
        <= {{ dbt.datediff('bounds.first_day', 'bounds.last_day', 'day') }}

)

select
    date_day,
    cast(extract(year from date_day) as integer) as year,
    cast(extract(quarter from date_day) as integer) as quarter,
    cast(extract(month from date_day) as integer) as month,
    {{ month_name('date_day') }} as month_name,
    cast(extract(day from date_day) as integer) as day,
    -- 1900-01-01 was a Monday; counting from it needs no setting of the first day of the week.
    mod({{ dbt.datediff("cast('1900-01-01' as date)", 'date_day', 'day') }}, 7) >= 5 as is_weekend

from days
