"""What changed, in three to five sentences with figure, likely cause and action, by rules.

A rule looks at the snapshot and says nothing where it has no figures. Each sentence is a claim: `figures` are
what it rests on, and the tests work them out again.
"""

from collections.abc import Callable
from datetime import timedelta
from math import log
from typing import Any

from include.insights.block import Block, Claim, Column, Context, Row
from include.insights.customer_blocks import MOVES_DAYS
from include.insights.formats import change, share, shown
from include.insights.kpis import totals

MOST, FEWEST = 5, 3
WORTH_TELLING = 0.01  # a change of less is noise to a reader
Figures = dict[str, Any]


def changes(context: Context) -> Block:
    """Return the sentences, the weightiest first."""
    claims = told(context)
    return Block(
        key="changes",
        title="What changed",
        sentence=(
            f"{context.period.label}, against the {context.period.days} days before."
            if context.period.previous
            else f"{context.period.label}. There is no period before to compare with."
        ),
        definition=(
            "Sentences by fixed rules over the figures below; those of most weight are told. A cause is what"
            " moved together with the figure in the data; that it is the reason is likely, not proven."
        ),
        scope=context.period.label,
        columns=(Column("figure", "Figure"), Column("cause", "Likely cause"), Column("action", "Action")),
        rows=tuple({"figure": one.figure, "cause": one.cause, "action": one.action} for one in claims),
        empty="There are no sales to say anything about.",
        claims=tuple(claims),
    )


def told(context: Context) -> list[Claim]:
    """Return what the rules say, at most five claims."""
    period = context.period
    now = totals(context, period.first, period.last)
    before = totals(context, *period.previous) if period.previous else None
    found = [rule(context, now, before) for rule in RULES]
    claims = sorted((claim for claim in found if claim), key=lambda claim: -claim.weight)
    return claims[:MOST]


def failing_tests(context: Context, _now: Row, _before: Row | None) -> Claim | None:
    """Say that figures may be wrong."""
    rows = context.rows("select node_name from node_health where has_failed_last order by node_name")
    if not rows:
        return None
    return Claim(
        "failing_tests",
        f"{_counted(len(rows), 'model or test', 'models and tests')} failed in the last run, among them"
        f" {rows[0]['node_name']}.",
        "The figures that rest on them may be old or wrong.",
        "Read Trust before you act on a figure, and tell the data team.",
        {"nodes": [row["node_name"] for row in rows]},
        weight=100,
    )


def revenue(context: Context, now: Row, before: Row | None) -> Claim | None:
    """Say how revenue changed, and whether by the number of orders or by their value."""
    moved = change(now["net_sales_amount"], before["net_sales_amount"]) if before else None
    if before is None or moved is None or not now["order_count"] or not before["order_count"]:
        return None
    orders = change(now["order_count"], before["order_count"]) or 0.0
    value = change(now["order_value_amount"], before["order_value_amount"]) or 0.0
    by_orders = abs(log(1 + orders)) >= abs(log(1 + value))
    return Claim(
        "revenue",
        f"Revenue {_moved(moved)} to {context.money(now['net_sales_amount'])}, from"
        f" {context.money(before['net_sales_amount'])}.",
        f"Orders {_moved(orders)} and the order value {_moved(value)}: the"
        f" {'number of orders' if by_orders else 'value of an order'} weighs more.",
        _revenue_action(rose=moved >= 0, by_orders=by_orders),
        {
            "revenue": now["net_sales_amount"],
            "before": before["net_sales_amount"],
            "orders": orders,
            "value": value,
        },
        weight=90,
    )


def _revenue_action(*, rose: bool, by_orders: bool) -> str:
    if rose:
        return (
            "See under New and returning who ordered more, and give them a reason to come again."
            if by_orders
            else "See under Categories what sold at a higher value, and show it first."
        )
    return (
        "Write to the overdue customers first: they know the shop."
        if by_orders
        else "See under Bought together what goes with what is bought, and offer it at checkout."
    )


def efficiency(context: Context, now: Row, before: Row | None) -> Claim | None:
    """Say how revenue and spend moved against each other."""
    if before is None:
        return None
    ratio, old = now["marketing_efficiency_ratio"], before["marketing_efficiency_ratio"]
    moved = change(ratio, old)
    spend, sales = (change(now[key], before[key]) for key in ("total_spend_amount", "net_sales_amount"))
    if moved is None or spend is None or sales is None:
        return None
    return Claim(
        "efficiency",
        f"Each unit of marketing spend came with {ratio:,.2f} of revenue, before {old:,.2f}.",
        f"Spend {_moved(spend)}, revenue {_moved(sales)}.",
        "There may be room for more: raise spend in small steps and watch this ratio."
        if moved >= 0
        else "Do not raise spend yet: compare the weeks in Spend against revenue and cut what did not show.",
        {"ratio": ratio, "before": old, "spend": spend, "sales": sales},
        weight=_weight(50, moved),
    )


def new_customers(context: Context, now: Row, before: Row | None) -> Claim | None:
    """Say how many customers were won, and at what spend."""
    moved = change(now["first_seen_customer_count"], before["first_seen_customer_count"]) if before else None
    cost = now["spend_per_first_seen_customer"]
    if before is None or moved is None or cost is None:
        return None
    old = before["spend_per_first_seen_customer"]
    spend = change(now["total_spend_amount"], before["total_spend_amount"])
    cause = f"Spend {_moved(spend)}" if spend is not None else "Spend cannot be compared"
    return Claim(
        "new_customers",
        f"New customers {_moved(moved)} to {now['first_seen_customer_count']:,}; each took"
        f" {context.money(cost)} of spend, before {context.money(old)}.",
        f"{cause} while new customers {_moved(moved)}.",
        "Welcome them with what goes with their first order; most customers buy on one day only."
        if moved >= 0
        else "Judge campaigns by new customers, and give those who came once a reason to return.",
        {
            "new": now["first_seen_customer_count"],
            "before": before["first_seen_customer_count"],
            "cost": cost,
            "old_cost": old,
        },
        weight=_weight(45, moved),
    )


def discount(context: Context, now: Row, before: Row | None) -> Claim | None:
    """Say how much more or less was given away."""
    if before is None or not now["gross_sales_amount"] or not before["gross_sales_amount"]:
        return None
    rate, old = (float(one["discount_amount"] / one["gross_sales_amount"]) for one in (now, before))
    given, gross = (change(now[key], before[key]) for key in ("discount_amount", "gross_sales_amount"))
    if abs(rate - old) < WORTH_TELLING or given is None or gross is None:
        return None
    return Claim(
        "discount",
        f"Discounts took {share(rate)} of gross sales, before {share(old)}.",
        f"Discounts {_moved(given)}, gross sales {_moved(gross)}.",
        "Check under Coupons whether the categories with the highest discount also sold more units."
        if rate > old
        else "Watch whether orders hold with fewer coupons; if they do, keep it so.",
        {"rate": rate, "before": old, "given": given, "gross": gross},
        weight=_weight(40, (rate - old) * 10),
    )


def category(context: Context, _now: Row, _before: Row | None) -> Claim | None:
    """Say which category moved most in the newest whole month of the period, and by which effect."""
    rows = context.in_period(
        """
        select
            month, category, net_sales_amount, net_sales_before,
            price_effect_amount, volume_effect_amount, mix_effect_amount
        from fct_category_monthly
        where
            price_effect_amount is not null
            and month = (
                select max(month) from fct_category_monthly
                where month >= date_trunc('month', $first) and last_day(month) <= $last
            )
        order by abs(net_sales_amount - net_sales_before) desc, category
        limit 1
        """
    )
    if not rows or rows[0]["net_sales_amount"] == rows[0]["net_sales_before"]:
        return None
    row = rows[0]
    moved = row["net_sales_amount"] - row["net_sales_before"]
    effects = {name: row[f"{name}_effect_amount"] for name in ("price", "volume", "mix")}
    cause = max(effects, key=lambda name: effects[name] * (1 if moved > 0 else -1))
    return Claim(
        "category",
        f"{row['category']} brought {context.money(abs(moved))} {'more' if moved > 0 else 'less'} in"
        f" {shown(row['month'], 'month')} than in the month before: the largest move of all categories.",
        f"{CAUSES[cause]} account for {context.money(effects[cause])} of it.",
        "Check that it is in stock and give it the first place in the next newsletter."
        if moved > 0
        else "Check stock, price and where it is shown before you discount it.",
        {
            "category": row["category"],
            "month": row["month"],
            "moved": moved,
            "cause": cause,
            "effect": effects[cause],
        },
        weight=65,
    )


CAUSES = {"price": "Prices", "volume": "Units sold", "mix": "Changes of the mix"}


def overdue(context: Context, _now: Row, _before: Row | None) -> Claim | None:
    """Say what is at stake with customers who are silent for too long."""
    rows = context.rows(
        """
        select
            coalesce(segment_name, 'Customers without a segment') as segment_name,
            count(*) as overdue_count,
            sum(net_sales_last_365_days) as stake_amount
        from fct_at_risk_customers
        where is_overdue
        group by all
        order by stake_amount desc, segment_name
        """
    )
    if not rows:
        return None
    count, stake = (sum(row[key] for row in rows) for key in ("overdue_count", "stake_amount"))
    first = rows[0]
    return Claim(
        "overdue",
        f"{_counted(count, 'repeat customer is', 'repeat customers are')} silent for much longer than usual"
        f" for them; they bought for {context.money(stake)} in the last 365 days.",
        f"{first['segment_name']} hold the largest part of it: {context.money(first['stake_amount'])} with"
        f" {_counted(first['overdue_count'], 'customer', 'customers')}.",
        "Start with the list Whom to call first, or export the audience At risk.",
        {
            "count": count,
            "stake": stake,
            "segment": first["segment_name"],
            "segment_stake": first["stake_amount"],
        },
        weight=60,
    )


def migrations(context: Context, _now: Row, _before: Row | None) -> Claim | None:
    """Say which segment lost most customers by what they did."""
    since = context.written_at - timedelta(days=MOVES_DAYS)
    rows = context.rows(
        """
        with moves as (
            select
                from_segment_name as segment_name,
                0 as entered,
                customer_count as gone,
                to_segment_name as goal
            from segment_migrations
            where move_cause = 'behaviour' and migrated_at >= $since and from_segment_id is not null
            union all
            select to_segment_name, customer_count, 0, null
            from segment_migrations
            where move_cause = 'behaviour' and migrated_at >= $since and from_segment_id is not null
        ),

        goals as (
            select segment_name, goal, sum(gone) as gone from moves where goal is not null group by all
        )

        select
            segment_name,
            sum(entered)::bigint as entered_count,
            sum(gone)::bigint as left_count,
            (
                select goal from goals
                where goals.segment_name = moves.segment_name
                order by gone desc, goal
                limit 1
            ) as goal
        from moves
        group by segment_name
        order by sum(gone) - sum(entered) desc, segment_name
        limit 1
        """,
        since=since,
    )
    if not rows or rows[0]["left_count"] <= rows[0]["entered_count"]:
        return None
    row = rows[0]
    return Claim(
        "migrations",
        f"{row['segment_name']} lost {row['left_count']:,} customers and won {row['entered_count']:,} in the"
        f" {MOVES_DAYS} days before the snapshot.",
        f"Of those who left, more are now {row['goal']} than anything else, by what they bought or did not"
        " buy.",
        f"See what the segment {row['goal']} is advised to get, and send it while they remember the shop.",
        row,
        weight=55,
    )


def best_customers(context: Context, _now: Row, _before: Row | None) -> Claim | None:
    """Say how much rests on the best tenth."""
    rows = context.rows("select * from fct_customer_concentration where decile = 1 and net_sales_amount > 0")
    if not rows:
        return None
    row = rows[0]
    return Claim(
        "best_customers",
        f"The best tenth of the customers brings {share(row['revenue_share'])} of the revenue.",
        f"{_counted(row['customer_count'], 'customer', 'customers')} bought for"
        f" {context.money(row['net_sales_amount'])} since the first day.",
        "Care for them in person: early access and thanks rather than discounts.",
        row,
        weight=20,
    )


def best_weekday(context: Context, _now: Row, _before: Row | None) -> Claim | None:
    """Say which weekday sells best."""
    rows = context.rows(
        "select * from fct_seasonality where period_kind = 'weekday' and seasonal_index > 1 order by"
        " seasonal_index desc, period_number limit 1"
    )
    if not rows:
        return None
    row = rows[0]
    return Claim(
        "best_weekday",
        f"{row['period_name']} is the strongest weekday: {row['seasonal_index']:,.2f} times the mean day.",
        f"Over {row['day_count']:,} of them a day brought"
        f" {context.money(row['mean_daily_net_sales_amount'])} on average.",
        "Let campaigns arrive the day before.",
        row,
        weight=10,
    )


def _moved(moved: float) -> str:
    """Return a change in words: rose by 3.0 %, fell by 2.1 %, stayed the same."""
    words = share(abs(moved))
    if words == share(0.0):
        return "stayed the same"
    return f"{'rose' if moved > 0 else 'fell'} by {words}"


def _counted(count: int, one: str, more: str) -> str:
    return f"{count:,} {one if count == 1 else more}"


def _weight(base: float, moved: float) -> float:
    """Return more weight for a larger change, up to 20 beyond the base."""
    return base + min(20.0, abs(moved) * 100)


RULES: tuple[Callable[[Context, Row, Row | None], Claim | None], ...] = (
    failing_tests,
    revenue,
    category,
    overdue,
    efficiency,
    migrations,
    new_customers,
    discount,
    best_customers,
    best_weekday,
)
