with

orders as (

    select
        order_date,
        sum(net_sales_amount) as net_sales_amount

    from {{ ref('fct_orders') }}

    group by order_date

),

bounds as (

    select
        min(order_date) as first_day,
        max(order_date) as last_day

    from orders

),

-- A day without a sale is a day of 0; a day before the first sale is none.
daily as (

    select
        days.day_of_week,
        days.day_name,
        days.month,
        days.month_name,
        coalesce(orders.net_sales_amount, 0) as net_sales_amount

    from {{ ref('dim_datetime') }} as days

    inner join bounds on days.date_day between bounds.first_day and bounds.last_day

    left join orders on days.date_day = orders.order_date

),

overall as (

    select
        count(*) as whole_day_count,
        sum(net_sales_amount) as whole_net_sales_amount

    from daily

),

periods as (

    {% for kind, columns in {'weekday': ('day_of_week', 'day_name'), 'month': ('month', 'month_name')}.items() -%}
    select
        '{{ kind }}' as period_kind,
        {{ columns[0] }} as period_number,
        {{ columns[1] }} as period_name,
        count(*) as day_count,
        sum(net_sales_amount) as net_sales_amount

    from daily

    group by
        {{ columns[0] }},
        {{ columns[1] }}
    {% if not loop.last -%}
    union all
    {% endif -%}
    {% endfor %}
)

select
    {{ surrogate_key(['periods.period_kind', 'periods.period_number']) }} as seasonality_id,
    periods.period_kind,
    cast(periods.period_number as integer) as period_number,
    periods.period_name,
    cast(periods.day_count as bigint) as day_count,
    cast(periods.net_sales_amount as decimal(18, 2)) as net_sales_amount,
    {{ average_amount('periods.net_sales_amount', 'periods.day_count') }} as mean_daily_net_sales_amount,
    {{ ratio('periods.net_sales_amount', 'periods.day_count') }}
    / nullif({{ ratio('overall.whole_net_sales_amount', 'overall.whole_day_count') }}, 0) as seasonal_index

from periods

cross join overall
