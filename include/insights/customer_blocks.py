"""Blocks about customers: segments, who is at risk, cohorts, what a customer brings, moves."""

from datetime import timedelta

from include.insights import charts
from include.insights.block import Block, Chart, Column, Context, Heat, Row
from include.insights.formats import share, shown

MOVES_DAYS = 90
CUSTOMERS_SHOWN, ALL = 10, 2**62
NO_CUSTOMERS = "No customer is in a segment yet: run the DAG segment_retraining, then marketing_insights."


def segments(context: Context) -> Block:
    """Return the segments with size, revenue, moves and what to do."""
    since = context.written_at - timedelta(days=MOVES_DAYS)
    rows = context.rows(
        """
        with moves as (
            select
                segment_id,
                sum(entered) as entered_count,
                sum(gone) as left_count
            from (
                select to_segment_id as segment_id, customer_count as entered, 0 as gone
                from segment_migrations
                where migrated_at >= $since and from_segment_id is not null
                union all
                select from_segment_id, 0, customer_count
                from segment_migrations
                where migrated_at >= $since and from_segment_id is not null
            )
            group by segment_id
        )
        select
            segment_name,
            customer_count,
            customer_count / nullif(sum(customer_count) over (), 0) as customer_share,
            net_sales_amount,
            (net_sales_amount / nullif(sum(net_sales_amount) over (), 0))::double as revenue_share,
            net_sales_per_customer,
            purchase_probability_mean,
            coalesce(entered_count, 0)::bigint as entered_count,
            coalesce(left_count, 0)::bigint as left_count,
            next_best_action
        from segments
        left join moves using (segment_id)
        order by net_sales_amount desc, segment_name
        """,
        since=since,
    )
    return Block(
        key="segments",
        title="Segments",
        sentence=_segments_sentence(rows),
        definition=(
            "Each customer is in one segment, by what the customer bought and when (K-means, scored with"
            " every run). Revenue is net sales since the first day of the data. Likely to buy: mean"
            " probability of a purchase within 90 days. Came and left: moves between segments in the"
            f" {MOVES_DAYS} days before the snapshot. What to do is the advice for most of the segment's"
            " customers."
        ),
        scope=context.to_date,
        columns=(
            Column("segment_name", "Segment"),
            Column("customer_count", "Customers", "count"),
            Column("customer_share", "Of customers", "share"),
            Column("net_sales_amount", "Revenue", "amount"),
            Column("revenue_share", "Of revenue", "share"),
            Column("net_sales_per_customer", "A customer", "amount"),
            Column("purchase_probability_mean", "Likely to buy", "share"),
            Column("entered_count", "Came", "count"),
            Column("left_count", "Left", "count"),
            Column("next_best_action", "What to do"),
        ),
        rows=tuple(rows),
        empty=NO_CUSTOMERS,
        chart=Chart(
            charts.bars(
                [row["segment_name"] for row in rows],
                [
                    ("Share of customers", [row["customer_share"] for row in rows]),
                    ("Share of revenue", [row["revenue_share"] for row in rows]),
                ],
                unit="share",
                across=True,
            ),
            "Share of customers and of revenue of each segment",
        ),
    )


def _segments_sentence(rows: list[Row]) -> str:
    if not rows or not rows[0]["net_sales_amount"]:
        return "Who the customers are, what they bring and what to do for them."
    best = rows[0]
    return (
        f"{best['segment_name']} are {share(best['customer_share'])} of the customers and bring"
        f" {share(best['revenue_share'])} of the revenue."
    )


def at_risk(context: Context) -> Block:
    """Return who is overdue by segment, in sums."""
    rows = context.rows(
        """
        select
            coalesce(segment_name, 'Without a segment') as segment_name,
            count(*) as overdue_count,
            sum(net_sales_last_365_days) as value_at_stake_amount,
            median(days_since_last_purchase)::double as median_days_since,
            median(silence_ratio)::double as median_silence_ratio
        from fct_at_risk_customers
        where is_overdue
        group by all
        order by value_at_stake_amount desc, segment_name
        """
    )
    count, stake = (sum(row[key] for row in rows) for key in ("overdue_count", "value_at_stake_amount"))
    return Block(
        key="at_risk",
        title="At risk",
        sentence=(
            f"{count:,} repeat customers have been silent for much longer than usual for them; they bought"
            f" for {context.money(stake)} in the last 365 days."
        ),
        definition=(
            "Overdue: a repeat customer whose silence, from the last purchase day to the as-of date, is"
            " longer than 60 days and than twice the own median gap between purchase days. At stake: net"
            " sales of the last 365 days. Customers who bought on one day only have no gap, so none of them"
            " is counted here."
        ),
        scope=f"As of {shown(context.snapshot.as_of_date, 'day')}",
        columns=(
            Column("segment_name", "Segment"),
            Column("overdue_count", "Overdue", "count"),
            Column("value_at_stake_amount", "At stake", "amount"),
            Column("median_days_since", "Median days silent", "count"),
            Column("median_silence_ratio", "Times the own gap", "ratio"),
        ),
        rows=tuple(rows),
        empty="No repeat customer is overdue.",
        chart=Chart(
            charts.bars(
                [row["segment_name"] for row in rows],
                [("At stake", [row["value_at_stake_amount"] for row in rows])],
                unit="amount",
                across=True,
            ),
            "Net sales of the last 365 days of overdue customers, by segment",
        ),
    )


def at_risk_customers(context: Context) -> Block:
    """Return the overdue customers themselves, the most valuable first."""
    rows = context.rows(
        """
        select
            customer_id, segment_name, lifecycle_stage, last_purchase_date, days_since_last_purchase,
            median_gap_days, silence_ratio, net_sales_last_365_days, purchase_probability, next_best_action,
            count(*) over () as overdue_count
        from fct_at_risk_customers
        where is_overdue
        order by net_sales_last_365_days desc, customer_id
        limit $most
        """,
        most=ALL if context.whole else CUSTOMERS_SHOWN,
    )
    return Block(
        key="at_risk_customers",
        title="Whom to call first",
        sentence="The overdue customers, by what they bought for in the last 365 days.",
        definition=(
            "One row per overdue customer (see At risk). Likely to buy: probability of a purchase within 90"
            " days, from the customer's own rhythm. The list names customers: reading it needs the right to"
            " edit the DAG."
        ),
        scope=f"As of {shown(context.snapshot.as_of_date, 'day')}",
        columns=(
            Column("customer_id", "Customer"),
            Column("segment_name", "Segment"),
            Column("lifecycle_stage", "Stage"),
            Column("last_purchase_date", "Last purchase", "day"),
            Column("days_since_last_purchase", "Days silent", "count"),
            Column("median_gap_days", "Own gap, days", "count"),
            Column("silence_ratio", "Times the gap", "ratio"),
            Column("net_sales_last_365_days", "At stake", "amount"),
            Column("purchase_probability", "Likely to buy", "share"),
            Column("next_best_action", "What to do"),
        ),
        rows=tuple(rows),
        empty="No repeat customer is overdue.",
        customers=True,
        rows_shown=CUSTOMERS_SHOWN,
        row_count=rows[0]["overdue_count"] if rows else 0,
        open=True,
    )


def cohorts(context: Context) -> Block:
    """Return who came back, by month of the first purchase in the data."""
    rows = context.rows(
        """
        select
            cohort_month, months_since, cohort_customer_count, buyer_count, buyer_share,
            cumulative_net_sales_amount, cumulative_net_sales_per_customer
        from fct_cohort_retention
        order by cohort_month, months_since
        """
    )
    return Block(
        key="cohorts",
        title="Cohorts",
        sentence=_cohorts_sentence(rows),
        definition=(
            "A cohort is everyone with the same month of first purchase in the data, which need not be the"
            " first ever. Shown is the share that bought again so many months later. Months after the end of"
            " the data are left out, not counted as 0."
        ),
        scope=context.to_date,
        columns=(
            Column("cohort_month", "First month", "month"),
            Column("months_since", "Months since", "count"),
            Column("cohort_customer_count", "Customers", "count"),
            Column("buyer_count", "Buyers", "count"),
            Column("buyer_share", "Share", "share"),
            Column("cumulative_net_sales_amount", "Revenue so far", "amount"),
            Column("cumulative_net_sales_per_customer", "A customer", "amount"),
        ),
        rows=tuple(rows),
        empty="There is no purchase yet.",
        heat=_cohort_map(rows),
        rows_shown=15,
    )


def _cohorts_sentence(rows: list[Row]) -> str:
    second = [row for row in rows if row["months_since"] == 1]
    customers = sum(row["cohort_customer_count"] for row in second)
    if not customers:
        return "How many customers bought again in the months after their first."
    back = sum(row["buyer_count"] for row in second) / customers
    return f"{share(back)} of the customers bought again in the month after their first one."


def _cohort_map(rows: list[Row]) -> Heat:
    """Return the shares from the first month after on: in the month itself everyone bought."""
    months = sorted({row["cohort_month"] for row in rows})
    ages = range(1, max((row["months_since"] for row in rows), default=0) + 1)
    cells = {(row["cohort_month"], row["months_since"]): row for row in rows}
    lines = []
    for month in months:
        shares = tuple(cells[month, age]["buyer_share"] if (month, age) in cells else None for age in ages)
        size = cells[month, 0]["cohort_customer_count"] if (month, 0) in cells else 0
        lines.append((shown(month, "month"), f"{size:,}", shares))
    return Heat("First month", tuple(f"+{age}" for age in ages), tuple(lines))


def customer_value(context: Context) -> Block:
    """Return what a customer brought by days since the first purchase."""
    rows = context.rows(
        """
        select
            horizon_days,
            sum(customer_count)::bigint as customer_count,
            sum(net_sales_amount) as net_sales_amount,
            (sum(net_sales_amount) / nullif(sum(customer_count), 0))::decimal(18, 2) as net_sales_per_customer
        from fct_customer_value
        group by horizon_days
        order by horizon_days
        """
    )
    at_90 = next((row for row in rows if row["horizon_days"] == 90), None)
    said = (
        "Within 90 days of the first purchase a customer brought"
        f" {context.money(at_90['net_sales_per_customer'])}."
        if at_90
        else ""
    )
    return Block(
        key="customer_value",
        title="What a customer brings",
        sentence=said or "What a customer brought within so many days of the first purchase.",
        definition=(
            "Net sales a customer within so many days of the first purchase in the data, over customers who"
            " were observed for so long. Each horizon has other customers, so a later one may be lower."
        ),
        scope=context.to_date,
        columns=(
            Column("horizon_days", "Days", "count"),
            Column("customer_count", "Customers observed so long", "count"),
            Column("net_sales_amount", "Revenue", "amount"),
            Column("net_sales_per_customer", "A customer", "amount"),
        ),
        rows=tuple(rows),
        empty="No customer has been observed for 30 days.",
        chart=Chart(
            charts.lines(
                [f"{row['horizon_days']} days" for row in rows],
                [("Revenue a customer", [row["net_sales_per_customer"] for row in rows])],
                unit="amount",
            ),
            "Net sales a customer by days since the first purchase",
            "short",
        ),
    )


def new_and_returning(context: Context) -> Block:
    """Return the revenue of first days and of later ones."""
    rows = context.in_period(
        """
        select
            month, first_day_customer_count, returning_customer_count, customer_count,
            first_day_net_sales_amount, later_net_sales_amount
        from fct_new_vs_returning
        where month between date_trunc('month', $first) and $last
        order by month
        """
    )
    first, later = (
        sum(row[key] for row in rows) for key in ("first_day_net_sales_amount", "later_net_sales_amount")
    )
    said = (
        f"{share(float(later / (first + later)))} of the revenue came after the customers' first day."
        if first + later
        else ""
    )
    return Block(
        key="new_and_returning",
        title="New and returning",
        sentence=said or "Revenue of the customers' first days and of later ones.",
        definition=(
            "First day: the day of a customer's first purchase in the data. Customers are counted once a"
            " month; one who is new and comes back in the same month is in both columns, so they need not"
            " add up to all customers."
        ),
        scope=context.months,
        columns=(
            Column("month", "Month", "month"),
            Column("first_day_customer_count", "New customers", "count"),
            Column("returning_customer_count", "Returning", "count"),
            Column("customer_count", "All customers", "count"),
            Column("first_day_net_sales_amount", "Revenue of first days", "amount"),
            Column("later_net_sales_amount", "Revenue of later days", "amount"),
        ),
        rows=tuple(rows),
        empty="No sales in these months.",
        chart=Chart(
            charts.bars(
                [shown(row["month"], "month") for row in rows],
                [
                    ("First days", [row["first_day_net_sales_amount"] for row in rows]),
                    ("Later days", [row["later_net_sales_amount"] for row in rows]),
                ],
                unit="amount",
                stacked=True,
            ),
            "Net sales of first days and of later days by month",
        ),
    )


def rfm_moves(context: Context) -> Block:
    """Return how many customers' RFM scores rose and fell."""
    rows = context.rows(
        """
        select
            month_end,
            count(*) filter (where move = 'up') as up_count,
            count(*) filter (where move = 'same') as same_count,
            count(*) filter (where move = 'down') as down_count,
            count(*) filter (where move = 'new') as new_count
        from fct_rfm_history
        group by month_end
        order by month_end
        """
    )
    last = rows[-1] if rows else None
    said = (
        f"In the month to {shown(last['month_end'], 'day')} the score of {last['up_count']:,} customers rose"
        f" and that of {last['down_count']:,} fell."
        if last
        else "How customers' scores changed from month to month."
    )
    return Block(
        key="rfm_moves",
        title="Scores that rose and fell",
        sentence=said,
        definition=(
            "RFM: recency, purchase days and revenue, each scored from 1 to 5 within all customers known at"
            " the month's end. Up or down is the sum of the three against the month before. The base grows,"
            " so a customer may fall because others came."
        ),
        scope="The newest three month ends",
        columns=(
            Column("month_end", "Month end", "day"),
            Column("up_count", "Rose", "count"),
            Column("same_count", "Same", "count"),
            Column("down_count", "Fell", "count"),
            Column("new_count", "New", "count"),
        ),
        rows=tuple(rows),
        empty="There is no month end in the data.",
        chart=Chart(
            charts.bars(
                [shown(row["month_end"], "month") for row in rows],
                [
                    (label, [row[key] for row in rows])
                    for label, key in (
                        ("Rose", "up_count"),
                        ("Fell", "down_count"),
                        ("New", "new_count"),
                        ("Same", "same_count"),
                    )
                ],
                unit="count",
                stacked=True,
                across=True,
            ),
            "Customers whose RFM score rose, stayed, fell or is new, by month end",
            "short",
        ),
    )
