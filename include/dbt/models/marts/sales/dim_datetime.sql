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

),

-- ISO weeks begin on Monday, and belong to the year of their Thursday.
weekdays as (

    select
        date_day,
        -- 1900-01-01 was a Monday; counting from it needs no setting of the first day of the week.
        mod({{ dbt.datediff("cast('1900-01-01' as date)", 'date_day', 'day') }}, 7) + 1 as day_of_week

    from days

),

weeks as (

    select
        *,
        cast({{ dbt.dateadd('day', '4 - day_of_week', 'date_day') }} as date) as thursday

    from weekdays

)

select
    date_day,
    cast(extract(year from date_day) as integer) as year,
    cast(extract(quarter from date_day) as integer) as quarter,
    cast(extract(month from date_day) as integer) as month,
    {{ month_name('date_day') }} as month_name,
    cast(extract(day from date_day) as integer) as day,
    day_of_week >= 6 as is_weekend,
    cast(day_of_week as integer) as day_of_week,
    {{ day_name('day_of_week') }} as day_name,
    cast(
        {{ integer_quotient(dbt.datediff("date_trunc('year', thursday)", 'thursday', 'day'), 7) }} + 1 as integer
    ) as iso_week,
    cast(extract(year from thursday) as integer) as iso_year,
    cast(date_trunc('month', date_day) as date) as month_start

from weeks
