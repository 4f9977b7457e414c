with

daily as (

    select * from {{ ref('fct_insights_daily') }}

),

days as (

    select * from {{ ref('dim_datetime') }}

),

dated as (

    select
        daily.*,
        cast({{ dbt.dateadd('day', '1 - days.day_of_week', 'days.date_day') }} as date) as week_start,
        days.month_start

    from daily

    inner join days on daily.date_day = days.date_day

),

periods as (

    {% for grain in ['week', 'month'] -%}
    select
        '{{ grain }}' as period_grain,
        {{ grain }}_start as period_start,
        count(*) as day_count,
        sum(offline_spend_amount) as offline_spend_amount,
        sum(online_spend_amount) as online_spend_amount,
        sum(total_spend_amount) as total_spend_amount,
        sum(net_sales_amount) as net_sales_amount,
        sum(first_seen_customer_count) as first_seen_customer_count

    from dated

    group by {{ grain }}_start
    {% if not loop.last -%}
    union all
    {% endif -%}
    {% endfor %}
),

measured as (

    select
        *,
        case
            when period_grain = 'week' then 7
            else {{ dbt.datediff('period_start', dbt.dateadd('month', 1, 'period_start'), 'day') }}
        end as calendar_day_count

    from periods

)

select
    {{ surrogate_key(['period_grain', 'period_start']) }} as marketing_efficiency_id,
    period_grain,
    period_start,
    day_count = calendar_day_count as is_complete,
    cast(day_count as bigint) as day_count,
    cast(offline_spend_amount as decimal(18, 2)) as offline_spend_amount,
    cast(online_spend_amount as decimal(18, 2)) as online_spend_amount,
    cast(total_spend_amount as decimal(18, 2)) as total_spend_amount,
    cast(net_sales_amount as decimal(18, 2)) as net_sales_amount,
    {{ ratio('net_sales_amount', 'total_spend_amount') }} as marketing_efficiency_ratio,
    cast(first_seen_customer_count as bigint) as first_seen_customer_count,
    {{ average_amount('total_spend_amount', 'first_seen_customer_count') }} as spend_per_first_seen_customer

from measured
