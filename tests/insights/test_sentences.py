"""What changed: each sentence is a claim, worked out again from the rows, without the rules' SQL."""

import re
from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from include.insights.block import Claim, Context
from include.insights.formats import amount, share
from include.insights.page import made
from include.insights.sentences import FEWEST, MOST, RULES, told
from tests.insights.snapshots import TABLES, WRITTEN, Rows, _node, empty, occasions

Maker = Callable[..., Context]
PERIODS = [
    {"period": "7d"},
    {"period": "30d"},
    {"period": "90d"},
    {"period": "all"},
    {"period": "custom", "first": "2019-05-03", "last": "2019-07-20"},
]


def days(first: date, last: date) -> dict[str, Any]:
    daily = [row for row in TABLES["fct_insights_daily"]() if first <= row["date_day"] <= last]
    found = {key: sum(row[key] for row in daily) for key in daily[0] if key != "date_day"}
    return {**found, "bought": [row for row in occasions() if first <= row["occasion_date"] <= last]}


def words(moved: float) -> str:
    if round(abs(moved) * 100, 1) == 0:
        return "stayed the same"
    return f"{'rose' if moved > 0 else 'fell'} by {share(abs(moved))}"


def claim_of(context: Context, rule: str) -> Claim:
    return next(one for one in all_claims(context) if one.rule == rule)


def all_claims(context: Context) -> list[Claim]:
    """Return what every rule says, also what is not among the weightiest."""
    from include.insights.kpis import totals

    period = context.period
    now = totals(context, period.first, period.last)
    before = totals(context, *period.previous) if period.previous else None
    return [claim for rule in RULES if (claim := rule(context, now, before))]


@pytest.mark.parametrize("asked", PERIODS, ids=lambda asked: asked["period"])
def test_three_to_five_sentences_are_told_the_weightiest_first(
    context_of: Maker, asked: dict[str, str]
) -> None:
    claims = told(context_of(**asked))
    assert FEWEST <= len(claims) <= MOST
    assert [one.weight for one in claims] == sorted((one.weight for one in claims), reverse=True)
    for one in claims:
        assert re.search(r"\d", one.figure), "a sentence has a figure"
        assert all(part.endswith(".") for part in (one.figure, one.cause, one.action))


@pytest.mark.parametrize(
    "asked", [one for one in PERIODS if one["period"] != "all"], ids=lambda a: a["period"]
)
def test_what_is_said_of_revenue_spend_and_customers_holds(context_of: Maker, asked: dict[str, str]) -> None:
    context = context_of(**asked)
    assert context.period.previous
    now, before = days(context.period.first, context.period.last), days(*context.period.previous)
    moved = {key: float(now[key]) / float(before[key]) - 1 for key in now if key != "bought" and before[key]}
    value, old_value = (one["net_sales_amount"] / one["order_count"] for one in (now, before))
    by_value = float(value / old_value) - 1
    said = claim_of(context, "revenue")
    assert said.figure == (
        f"Revenue {words(moved['net_sales_amount'])} to {amount(now['net_sales_amount'])},"
        f" from {amount(before['net_sales_amount'])}."
    )
    assert said.cause.startswith(
        f"Orders {words(moved['order_count'])} and the order value {words(by_value)}"
    )
    # The larger factor is the one whose neutralisation leaves the smaller change.
    factors = {"number of orders": 1 + moved["order_count"], "value of an order": 1 + by_value}
    larger = max(factors, key=lambda name: max(factors[name], 1 / factors[name]))
    assert f"the {larger} weighs more" in said.cause

    spend = claim_of(context, "efficiency")
    ratios = [one["net_sales_amount"] / one["total_spend_amount"] for one in (now, before)]
    assert f"came with {ratios[0]:,.2f} of revenue, before {ratios[1]:,.2f}." in spend.figure
    assert (
        spend.cause
        == f"Spend {words(moved['total_spend_amount'])}, revenue {words(moved['net_sales_amount'])}."
    )
    assert spend.action.startswith("There may be room" if ratios[0] >= ratios[1] else "Do not raise spend")

    new = claim_of(context, "new_customers")
    firsts = [sum(row["purchase_day_number"] == 1 for row in one["bought"]) for one in (now, before)]
    cost = [
        amount(one["total_spend_amount"] / count) for one, count in zip((now, before), firsts, strict=True)
    ]
    assert (
        f"New customers {words(firsts[0] / firsts[1] - 1)} to {firsts[0]:,}; each took {cost[0]} of spend"
        in new.figure
    )
    assert new.figure.endswith(f"before {cost[1]}.")


@pytest.mark.parametrize(
    ("last", "month"), [("2019-12-31", "Dec 2019"), ("2019-12-30", "Nov 2019"), ("2019-10-31", "Oct 2019")]
)
def test_the_category_that_moved_most_is_of_the_newest_whole_month(
    context_of: Maker, last: str, month: str
) -> None:
    said = claim_of(context_of("custom", first="2019-10-01", last=last), "category")
    rows = [r for r in TABLES["fct_category_monthly"]() if f"{r['month']:%b %Y}" == month]
    largest = max(rows, key=lambda row: abs(row["net_sales_amount"] - row["net_sales_before"]))
    moved = largest["net_sales_amount"] - largest["net_sales_before"]
    way = "more" if moved > 0 else "less"
    assert said.figure.startswith(f"{largest['category']} brought {amount(abs(moved))} {way} in {month}")
    effects = {name: largest[f"{name}_effect_amount"] for name in ("price", "volume", "mix")}
    pulled = max(effects.values()) if moved > 0 else min(effects.values())
    assert amount(pulled) in said.cause


def test_a_period_without_a_whole_month_says_nothing_of_categories(context_of: Maker) -> None:
    claims = all_claims(context_of("custom", first="2019-12-01", last="2019-12-20"))
    assert "category" not in {one.rule for one in claims}


def test_what_is_said_of_overdue_customers_holds(context_of: Maker) -> None:
    said = claim_of(context_of(), "overdue")
    rows = [row for row in TABLES["fct_at_risk_customers"]() if row["is_overdue"]]
    stakes: Counter[str] = Counter()
    for row in rows:
        stakes[row["segment_name"]] += row["net_sales_last_365_days"]
    segment, stake = max(stakes.items(), key=lambda item: item[1])
    assert said.figure.startswith(f"{len(rows)} repeat customers are silent")
    assert (
        f"they bought for {amount(sum(r['net_sales_last_365_days'] for r in rows))} in the last"
        in said.figure
    )
    count = sum(row["segment_name"] == segment for row in rows)
    assert (
        said.cause
        == f"{segment} hold the largest part of it: {amount(Decimal(stake))} with {count} customers."
    )


def test_moves_count_behaviour_alone_and_only_the_newest_90_days(changed: Maker) -> None:
    rows = TABLES["segment_migrations"]()
    old = {**rows[1], "migrated_at": WRITTEN - timedelta(days=91), "customer_count": 500}
    model = {**rows[2], "move_cause": "model", "customer_count": 700}
    said = claim_of(changed(segment_migrations=[*rows, old, model]), "migrations")
    assert said.figure.startswith("Champions (VIPs) lost 13 customers and won 2 in the 90 days")
    assert "more are now Loyal Customers than anything else" in said.cause


def test_no_segment_that_lost_customers_is_no_sentence(changed: Maker) -> None:
    claims = all_claims(changed(segment_migrations=empty("segment_migrations")))
    assert "migrations" not in {one.rule for one in claims}


def test_a_failing_test_comes_first(changed: Maker) -> None:
    context = changed(
        node_health=[_node("good"), _node("b", has_failed_last=True), _node("a", has_failed_last=True)]
    )
    first = told(context)[0]
    assert (first.rule, first.figure) == (
        "failing_tests",
        "2 models and tests failed in the last run, among them a.",
    )


def with_discount(first: date, rate: str) -> Rows:
    rows = [dict(row) for row in TABLES["fct_insights_daily"]()]
    for row in rows:
        if row["date_day"] >= first:
            row["discount_amount"] = row["gross_sales_amount"] * Decimal(rate)
    return rows


@pytest.mark.parametrize(("rate", "action"), [("0.30", "Check under Coupons"), ("0.01", "Watch whether")])
def test_more_or_less_discount_is_told(changed: Maker, rate: str, action: str) -> None:
    context = changed(fct_insights_daily=with_discount(date(2019, 10, 3), rate))
    said = claim_of(context, "discount")
    assert said.figure == f"Discounts took {share(float(rate))} of gross sales, before {share(0.07 / 1.07)}."
    assert said.action.startswith(action)


def test_a_discount_that_hardly_changed_is_not_told(context_of: Maker) -> None:
    assert "discount" not in {one.rule for one in all_claims(context_of())}


def test_the_best_tenth_and_the_best_weekday_hold(context_of: Maker) -> None:
    context = context_of("all")
    best = TABLES["fct_customer_concentration"]()[0]
    said = claim_of(context, "best_customers")
    assert share(best["revenue_share"]) in said.figure
    assert amount(best["net_sales_amount"]) in said.cause
    friday = claim_of(context, "best_weekday")
    fridays = [row for row in TABLES["fct_insights_daily"]() if row["date_day"].isoweekday() == 5]
    mean = sum(row["net_sales_amount"] for row in fridays) / len(fridays)
    assert friday.figure.startswith("Friday is the strongest weekday")
    assert amount(mean) in friday.cause


def test_the_table_of_the_block_is_what_is_told(context_of: Maker) -> None:
    block = made(context_of(), "changes")
    assert [row["figure"] for row in block.rows] == [one.figure for one in block.claims]


def test_an_empty_shop_is_silent(changed: Maker) -> None:
    assert told(changed(**{name: empty(name) for name in TABLES})) == []
