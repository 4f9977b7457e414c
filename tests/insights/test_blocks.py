"""Blocks: each has all its parts, says what its table says, and has an empty state."""

import csv
import io
import json
import shutil
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from include.insights import customer_blocks
from include.insights.block import Block, Context
from include.insights.kpis import DAILY_UP_TO_DAYS, KPIS, totals
from include.insights.operations_blocks import web_address
from include.insights.page import MAKERS, NAMES_CUSTOMERS, aggregates, made, sections
from include.insights.period import period_of
from include.insights.snapshot import Snapshot, latest
from tests.insights.questions import QUESTIONS, Question
from tests.insights.snapshots import CATEGORIES, PRODUCTS, TABLES, empty, occasions

Maker = Callable[..., Context]


@pytest.mark.parametrize("key", MAKERS)
def test_a_block_has_all_its_parts(context_of: Maker, key: str) -> None:
    block = made(context_of(), key)
    assert block.key == key
    assert all([block.title, block.sentence, block.definition, block.scope, block.empty, block.columns])
    assert block.sentence.endswith((".", "!"))
    json.dumps(block.chart.option if block.chart else {}, allow_nan=False)


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.title)
def test_a_question_of_the_manual_is_a_block(context_of: Maker, question: Question) -> None:
    assert made(context_of(), question.block).title == question.block_title


@pytest.mark.parametrize("key", MAKERS)
def test_a_csv_file_has_every_row_and_column(context_of: Maker, key: str) -> None:
    block = made(context_of(), key)
    header, *rows = csv.reader(io.StringIO(block.csv()))
    assert header == [column.key for column in block.columns]
    assert len(rows) == len(block.rows)


@pytest.mark.parametrize("key", MAKERS)
def test_a_block_without_data_says_so(changed: Maker, key: str) -> None:
    context = changed(**{name: empty(name) for name in TABLES})
    block = MAKERS[key](context)
    assert block.rows == ()
    assert block.empty.endswith(".")


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ("fct_at_risk_customers", "at_risk"),
        ("quarantine_summary", "rejected"),
        ("fct_purchase_occasions", "kpis"),
    ],
)
def test_what_was_not_built_is_not_said_to_be_nothing(
    snapshot: Snapshot, tmp_path: Path, table: str, key: str
) -> None:
    shutil.copytree(snapshot._local.parent, tmp_path / "insights")
    for pointer in [*(tmp_path / "insights").rglob("*.json")]:
        content = json.loads(pointer.read_text())
        del content["tables"][table]
        pointer.write_text(json.dumps(content))
    partial = latest(str(tmp_path / "insights"))
    block = made(Context(partial, period_of({}, partial.first_day, partial.last_day)), key)
    assert (block.rows, block.row_count) == ((), 0)
    assert block.empty.startswith(f"Not in this snapshot, since it was not built: {table}.")


@pytest.mark.parametrize("period", ["7d", "30d", "365d", "all"])
def test_key_figures_are_the_sums_of_the_days(context_of: Maker, period: str) -> None:
    context = context_of(period)
    here = [row for row in occasions() if context.period.first <= row["occasion_date"] <= context.period.last]
    found = totals(context, context.period.first, context.period.last)
    revenue, orders = sum(row["net_sales_amount"] for row in here), sum(row["order_count"] for row in here)
    new = sum(row["purchase_day_number"] == 1 for row in here)
    assert (found["net_sales_amount"], found["order_count"]) == (revenue, orders)
    assert found["first_seen_customer_count"] == new
    assert found["customer_count"] == len({row["customer_id"] for row in here})
    assert found["returning_customer_count"] == found["customer_count"] - new
    assert found["order_value_amount"] == revenue / orders


@pytest.mark.parametrize(("period", "size"), [("30d", 1), ("90d", 7), ("365d", 7)])
def test_a_sparkline_adds_up_to_whole_steps_of_the_period(context_of: Maker, period: str, size: int) -> None:
    context = context_of(period)
    tile = next(tile for tile in made(context, "kpis").tiles if tile.key == "net_sales_amount")
    assert (context.period.days <= DAILY_UP_TO_DAYS) is (size == 1)
    assert len(tile.points) == context.period.days // size
    last = [r for r in occasions() if (context.period.last - r["occasion_date"]).days < size]
    assert tile.points[-1] == pytest.approx(float(sum((r["net_sales_amount"] for r in last), Decimal(0))))


def test_a_tile_shows_its_change_and_whether_that_is_good(context_of: Maker) -> None:
    context = context_of()
    assert context.period.previous
    now = totals(context, context.period.first, context.period.last)
    before = totals(context, *context.period.previous)
    tones = {tile.key: (tile.change, tile.tone) for tile in made(context, "kpis").tiles}
    for kpi in KPIS:
        moved = float(now[kpi.key]) / float(before[kpi.key]) - 1
        words, tone = tones[kpi.key]
        assert words == f"{moved * 100:+,.1f}\N{NO-BREAK SPACE}%".replace("-", "\N{MINUS SIGN}")
        assert tone == ("neutral" if not kpi.good else "good" if moved * kpi.good > 0 else "bad")


def test_a_period_without_one_before_has_no_changes(context_of: Maker) -> None:
    block = made(context_of("all"), "kpis")
    assert "does not reach back far enough" in block.sentence
    assert {tile.change for tile in block.tiles} == {""}


def test_segments_show_who_came_and_who_left(context_of: Maker) -> None:
    rows = {row["segment_name"]: row for row in made(context_of(), "segments").rows}
    assert (rows["Champions (VIPs)"]["entered_count"], rows["Champions (VIPs)"]["left_count"]) == (2, 13)
    assert rows["Occasional Shoppers"]["entered_count"] == 0, "a first segment is no move"
    assert sum(row["revenue_share"] for row in rows.values()) == pytest.approx(1)


def test_the_list_of_customers_is_short_on_the_page_and_whole_in_the_file(context_of: Maker) -> None:
    context = context_of()
    overdue = [row for row in TABLES["fct_at_risk_customers"]() if row["is_overdue"]]
    page = made(context, "at_risk_customers")
    whole = customer_blocks.at_risk_customers(Context(context.snapshot, context.period, whole=True))
    assert (len(page.rows), page.total, len(whole.rows)) == (10, len(overdue), len(overdue))
    stakes = [row["net_sales_last_365_days"] for row in whole.rows]
    assert stakes == sorted(stakes, reverse=True)


def test_months_of_the_period_are_whole_months(context_of: Maker) -> None:
    block = made(context_of("custom", first="2019-03-10", last="2019-04-02"), "new_and_returning")
    assert [row["month"] for row in block.rows] == [date(2019, 3, 1), date(2019, 4, 1)]
    assert block.scope == "Whole months, Mar 2019 to Apr 2019"


def test_a_week_that_the_data_cuts_off_is_not_drawn(context_of: Maker) -> None:
    block = made(context_of("30d"), "efficiency")
    cut_off = [row for row in block.rows if not row["is_complete"]]
    assert [row["period_start"] for row in cut_off] == [date(2019, 12, 30)]
    assert block.chart
    assert len(block.chart.option["xAxis"]["data"]) == len(block.rows) - 1


def test_a_month_after_the_end_of_the_data_is_no_zero(context_of: Maker) -> None:
    heat = made(context_of(), "cohorts").heat
    assert heat
    december = heat.rows[-1]
    assert (december[0], set(december[2])) == ("Dec 2019", {None})


def test_products_lead_by_baskets_beyond_chance_not_by_a_rare_pair(changed: Maker) -> None:
    rows = TABLES["fct_basket_affinity"]()
    rare = {**rows[0], "basket_affinity_id": "rare", "item_a": "Rare a", "item_b": "Rare b"}
    context = changed(fct_basket_affinity=[*rows, {**rare, "basket_count": 6, "lift": 9.0}])
    assert made(context, "baskets").rows[0]["item_a"] == PRODUCTS[0]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("https://news.example.org/1?a=b", "https://news.example.org/1?a=b"),
        (" http://news.example.org ", "http://news.example.org"),
        ("javascript:alert(1)", ""),
        ("JaVaScRiPt:alert(1)", ""),
        ("data:text/html,<script>alert(1)</script>", ""),
        ("//evil.example", ""),
        ("https://", ""),
        ("http://[", ""),
        (None, ""),
    ],
)
def test_only_a_web_address_becomes_a_link(text: str | None, address: str) -> None:
    assert web_address(text) == address


def test_nobody_is_named_without_the_right_to_edit(context_of: Maker) -> None:
    context = context_of()
    named = {
        block.key: block for section in sections(context, names_customers=True) for block in section.blocks
    }
    hidden = {
        block.key: block for section in sections(context, names_customers=False) for block in section.blocks
    }
    assert named.keys() == hidden.keys() == MAKERS.keys()
    for key in NAMES_CUSTOMERS:
        assert named[key].rows
        assert (hidden[key].rows, "right to edit" in hidden[key].empty) == ((), True)
    assert not [key for key in MAKERS.keys() - NAMES_CUSTOMERS if names_customers(named[key])]
    assert not [b for section in aggregates(context) for b in section.blocks if names_customers(b)]


def names_customers(block: Block) -> bool:
    return any("customer_id" in row for row in block.rows)


def test_categories_add_their_effects_up_over_the_months(context_of: Maker, snapshot: Snapshot) -> None:
    block = made(context_of(), "categories")
    assert {row["category"] for row in block.rows} == set(CATEGORIES)
    for row in block.rows:
        [expected] = snapshot.query(
            "select sum(net_sales_amount - net_sales_before) as moved from fct_category_monthly"
            " where category = $category and month >= '2019-10-01'",
            {"category": row["category"]},
        )
        effects: Any = sum(row[f"{name}_effect_amount"] for name in ("price", "volume", "mix"))
        assert effects == expected["moved"]
