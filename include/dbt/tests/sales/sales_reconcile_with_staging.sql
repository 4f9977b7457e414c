-- Vertical reconciliation: day by day, the lines and totals of fct_sales are those of staging today. Without a range no
-- day may be missing or too many; with one only its days are judged, since the others wait for a run of their own.
-- A difference means that a run did not see a change: rebuild with --full-refresh.
with

expected as (

    select
        transaction_date,
        count(*) as line_count,
        cast(sum(gross_sales_amount) as decimal(18, 2)) as gross_sales_amount,
        cast(sum(total_amount) as decimal(18, 2)) as total_amount

    from {{ ref('int_sales_priced') }}

    where {{ in_range('transaction_date') }}

    group by transaction_date

),

found as (

    select
        transaction_date,
        count(*) as line_count,
        cast(sum(gross_sales_amount) as decimal(18, 2)) as gross_sales_amount,
        cast(sum(total_amount) as decimal(18, 2)) as total_amount

    from {{ ref('fct_sales') }}

    where {{ in_range('transaction_date') }}

    group by transaction_date

)

select
    coalesce(found.transaction_date, expected.transaction_date) as transaction_date,
    found.line_count,
    expected.line_count as staged_line_count,
    found.total_amount,
    expected.total_amount as staged_total_amount
from found
full outer join expected on found.transaction_date = expected.transaction_date
where
    found.line_count is distinct from expected.line_count
    or found.gross_sales_amount is distinct from expected.gross_sales_amount
    or found.total_amount is distinct from expected.total_amount
