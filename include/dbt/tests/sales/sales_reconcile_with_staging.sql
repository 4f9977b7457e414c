-- Vertical reconciliation: on every day that fct_sales holds, its lines and totals are those that staging gives now.
-- A difference means that an incremental run missed a change: rebuild with --full-refresh.
with

expected as (

    select
        transaction_date,
        count(*) as line_count,
        cast(sum(gross_sales_amount) as decimal(18, 2)) as gross_sales_amount,
        cast(sum(total_amount) as decimal(18, 2)) as total_amount

    from {{ ref('int_sales_priced') }}

    group by transaction_date

),

found as (

    select
        transaction_date,
        count(*) as line_count,
        cast(sum(gross_sales_amount) as decimal(18, 2)) as gross_sales_amount,
        cast(sum(total_amount) as decimal(18, 2)) as total_amount

    from {{ ref('fct_sales') }}

    group by transaction_date

)

select
    found.transaction_date,
    found.line_count,
    expected.line_count as staged_line_count,
    found.total_amount,
    expected.total_amount as staged_total_amount
from found
left join expected on found.transaction_date = expected.transaction_date
where
    found.line_count is distinct from expected.line_count
    or found.gross_sales_amount is distinct from expected.gross_sales_amount
    or found.total_amount is distinct from expected.total_amount
