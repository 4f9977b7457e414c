"""The figures of a period on tiles: sums of days, each with its change against the period before."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from include.insights.block import Block, Column, Context, Row, Tile
from include.insights.formats import Kind, change, shown, signed_share

DAILY_UP_TO_DAYS = 62  # a longer period's sparkline has a point a week
NOTHING_SOLD: Row = dict.fromkeys(
    (
        "net_sales_amount",
        "gross_sales_amount",
        "discount_amount",
        "order_count",
        "first_seen_customer_count",
        "total_spend_amount",
        "customer_count",
    ),
    0,
)
TONES = {1: ("good", "bad"), 0: ("neutral", "neutral"), -1: ("bad", "good")}


@dataclass(frozen=True)
class Kpi:
    """A figure: where it comes from, its unit, and whether more of it is good (1), bad (-1) or neither."""

    key: str
    label: str
    kind: Kind
    good: int
    meaning: str


KPIS = (
    Kpi("net_sales_amount", "Revenue", "amount", 1, "net sales: after discount, before GST and delivery"),
    Kpi("order_count", "Orders", "count", 1, "pairs of transaction and customer"),
    Kpi("order_value_amount", "Order value", "amount", 1, "revenue divided by orders"),
    Kpi(
        "first_seen_customer_count",
        "New customers",
        "count",
        1,
        "first purchase in the data lies in the period",
    ),
    Kpi("returning_customer_count", "Returning customers", "count", 1, "bought in the period and before it"),
    Kpi("total_spend_amount", "Marketing spend", "amount", 0, "online and offline"),
    Kpi("marketing_efficiency_ratio", "Revenue per spend", "ratio", 1, "MER: revenue divided by spend"),
    Kpi(
        "spend_per_first_seen_customer",
        "Spend a new customer",
        "amount",
        -1,
        "spend divided by new customers",
    ),
)


def totals(context: Context, first: date, last: date) -> Row:
    """Return the figures of the days from first to last, all that KPIS name and some more."""
    sums = context.rows(
        """
        select
            coalesce(sum(net_sales_amount), 0) as net_sales_amount,
            coalesce(sum(gross_sales_amount), 0) as gross_sales_amount,
            coalesce(sum(discount_amount), 0) as discount_amount,
            coalesce(sum(order_count), 0)::bigint as order_count,
            coalesce(sum(first_seen_customer_count), 0)::bigint as first_seen_customer_count,
            coalesce(sum(total_spend_amount), 0) as total_spend_amount
        from fct_insights_daily
        where date_day between $first and $last
        """,
        first=first,
        last=last,
    )
    people = context.rows(
        "select count(distinct customer_id) as customer_count from fct_purchase_occasions where"
        " occasion_date between $first and $last",
        first=first,
        last=last,
    )
    return with_ratios({**NOTHING_SOLD, **(sums[0] if sums else {}), **(people[0] if people else {})})


def with_ratios(sums: Row) -> Row:
    """Return sums with the ratios that follow from them; one without a divisor is None."""
    revenue, spend, new = (
        sums[key] for key in ("net_sales_amount", "total_spend_amount", "first_seen_customer_count")
    )
    return {
        **sums,
        "returning_customer_count": sums["customer_count"] - new,
        "order_value_amount": _quotient(revenue, sums["order_count"]),
        "marketing_efficiency_ratio": _quotient(revenue, spend),
        "spend_per_first_seen_customer": _quotient(spend, new),
    }


def _quotient(above: Decimal, below: Decimal | int) -> Decimal | None:
    return Decimal(above) / Decimal(below) if below else None


def kpis(context: Context) -> Block:
    """Return the tiles."""
    period = context.period
    now = totals(context, period.first, period.last)
    before = totals(context, *period.previous) if period.previous else {}
    points = _points(context)
    tiles, rows = [], []
    for kpi in KPIS:
        value, old = now[kpi.key], before.get(kpi.key)
        tiles.append(_tile(context, kpi, value, old, (row[kpi.key] for row in points)))
        row = {"value": _rounded(value), "before": _rounded(old), "change": change(value, old)}
        rows.append({"figure": kpi.label, **row})
    return Block(
        key="kpis",
        title="Key figures",
        sentence=_sentence(context),
        definition="; ".join(f"{kpi.label}: {kpi.meaning}" for kpi in KPIS) + ".",
        scope=period.label,
        columns=(
            Column("figure", "Figure"),
            Column("value", "Period", "ratio"),
            Column("before", "Period before", "ratio"),
            Column("change", "Change", "share"),
        ),
        rows=tuple(rows) if now["order_count"] or now["total_spend_amount"] else (),
        empty="There are no orders and no spend in this period.",
        tiles=tuple(tiles),
    )


def _sentence(context: Context) -> str:
    period = context.period
    if period.previous:
        return f"{period.label}, compared with the {period.days} days before ({period.previous_label})."
    if period.compares:
        return (
            f"{period.label}. The data does not reach back far enough to compare with the {period.days} days"
            " before."
        )
    return f"{period.label}, not compared."


def _rounded(value: Any) -> Any:
    return round(value, 2) if isinstance(value, Decimal) else value


def _tile(context: Context, kpi: Kpi, value: Any, old: Any, points: Iterable[Any]) -> Tile:
    moved, tone = change(value, old), "neutral"
    if moved is not None and abs(moved) >= 0.0005:
        tone = TONES[kpi.good][0 if moved > 0 else 1]
    return Tile(
        key=kpi.key,
        label=kpi.label,
        value=shown(value, kpi.kind, context.currency),
        change=signed_share(moved) if moved is not None else "",
        before=shown(old, kpi.kind, context.currency) if old is not None else "",
        tone=tone,
        points=tuple(None if point is None else float(point) for point in points),
    )


def _points(context: Context) -> list[Row]:
    """Return the figures of each day, or of each seven days back from the last; a rest is left out."""
    size = 1 if context.period.days <= DAILY_UP_TO_DAYS else 7
    rows = context.in_period(
        """
        with days as (
            select
                date_diff('day', date_day, $last::date) // $size as step,
                net_sales_amount, order_count, first_seen_customer_count, total_spend_amount
            from fct_insights_daily
            where date_day between $first and $last
        ),

        people as (
            select
                date_diff('day', occasion_date, $last::date) // $size as step,
                count(distinct customer_id) as customer_count
            from fct_purchase_occasions
            where occasion_date between $first and $last
            group by step
        )

        select
            step,
            coalesce(any_value(customer_count), 0) as customer_count,
            sum(net_sales_amount) as net_sales_amount,
            sum(order_count)::bigint as order_count,
            sum(first_seen_customer_count)::bigint as first_seen_customer_count,
            sum(total_spend_amount) as total_spend_amount
        from days
        left join people using (step)
        group by step
        order by step desc
        """,
        size=size,
    )
    whole = context.period.days // size
    return [with_ratios(row) for row in rows if row["step"] < whole]
