"""The facts follow their sources: after any change of the files, a run ends where a full refresh does."""

import os
import shutil
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.orchestration.dbt_task_group import OF_OTHER_DAGS
from standalone.sample_data.generator import generate
from tests.dbt.changes import CHANGES, CUSTOMERS, NEXT_PART, SALES, Change, rewrite
from tests.dbt.dbt_project import (
    WAREHOUSE,
    WITHOUT_TESTS,
    Outcome,
    Project,
    Rows,
    keep_some,
    make_project,
    write,
)
from tests.dbt.money import Row, read

MARTS = (
    "dim_customer",
    "dim_datetime",
    "dim_products",
    "fct_sales",
    "fct_orders",
    "fct_marketing_performance_daily",
    "fct_marketing_performance_monthly",
    "fct_customer_rfm",
)
OF_THE_BUILD = ("processed_at", "source_loaded_at")  # say when a row was built, not what it holds
UNKNOWN = -1


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A shop with 25 customers, built; tests work on copies of it."""
    project = make_project(tmp_path_factory.mktemp("facts"))
    everyone = tmp_path_factory.mktemp("everyone")
    generate(everyone)
    keep_some(everyone, project.folder, customers=25)
    project.ingest()
    manifest = project.dbt_as_typed("parse").raw.result
    project = replace(project, manifest=manifest)
    built = project.dbt("build", *WITHOUT_TESTS)
    assert built.success, built.output
    return project


@pytest.fixture
def copy(shop: Project, tmp_path: Path) -> Project:
    """A copy of the shop to change at will."""
    return shop.copy(tmp_path)


def run(project: Project, **variables: str) -> None:
    """Build the tables that the sales' marts are made of; the views between them are there."""
    before = (f"+{mart},config.materialized:table" for mart in MARTS)
    done = project.dbt("run", "--select", *before, "fct_sales", **variables)
    assert done.success, done.output


def build_with_tests(project: Project, **variables: str) -> Outcome:
    """Build and test what marketing_pipeline does."""
    unit_tests = ("--exclude-resource-type", "unit_test")
    return project.dbt("build", "--exclude", *OF_OTHER_DAGS, *unit_tests, **variables)


def marts(project: Project) -> dict[str, Rows]:
    """Return the rows of each mart, without what tells of the build."""
    columns = f"columns(lambda c: c not in {OF_THE_BUILD})"
    return {mart: project.query(f"select {columns} from analytics.{mart} order by all") for mart in MARTS}


def rebuilt(project: Project, folder: Path) -> dict[str, Rows]:
    """Return the marts of a full refresh, made in a copy."""
    folder.mkdir(exist_ok=True)
    project.query("checkpoint")
    shutil.copy(project.warehouse, folder / WAREHOUSE)
    other = replace(project, warehouse=folder / WAREHOUSE)
    after = (f"int_sales_priced+,{model}" for model in ("int_sales_priced", *MARTS))
    done = other.dbt("run", "--full-refresh", "--select", *after, "int_customer_features")
    assert done.success, done.output
    return marts(other)


def built_when(project: Project) -> dict[str, Any]:
    """Return when each line was built."""
    return dict(project.query("select sales_line_id, processed_at from analytics.fct_sales"))


def differing(found: dict[str, Rows], expected: dict[str, Rows]) -> dict[str, tuple[Rows, Rows]]:
    """Return each mart's rows that only one side has."""
    return {
        mart: (
            sorted(set(rows) - set(expected[mart]), key=str),
            sorted(set(expected[mart]) - set(rows), key=str),
        )
        for mart, rows in found.items()
        if rows != expected[mart]
    }


RANGES = [("2019-03-01", "2019-03-02"), ("2019-06-01", "2019-09-01"), ("2020-01-01", "2021-01-01")]

deliveries = st.lists(
    st.tuples(st.sampled_from(CHANGES), st.integers(0, 10_000)),
    min_size=1,
    max_size=3,
    unique_by=lambda c: c[0],
)
EXAMPLES = int(os.environ.get("FACTS_EXAMPLES", "8"))

ranges = st.none() | st.sampled_from(RANGES)


@pytest.mark.timeout(600 + 100 * EXAMPLES)
@given(deliveries=st.lists(st.tuples(deliveries, ranges), min_size=1, max_size=2))
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_an_incremental_run_ends_where_a_full_refresh_does(
    shop: Project,
    tmp_path_factory: pytest.TempPathFactory,
    deliveries: list[tuple[list[tuple[Change, int]], tuple[str, str] | None]],
) -> None:
    """Whatever changes in the files, and whether a range of days is built between or not.

    FACTS_EXAMPLES=100 tries more.
    """
    place = tmp_path_factory.mktemp("example")
    copy = shop.copy(place)
    for changes, days in deliveries:
        for change, seed in changes:
            change(copy.folder, Random(seed))
        copy.ingest()
        if days:
            run(copy, start_date=days[0], end_date=days[1])
    run(copy)

    assert differing(marts(copy), rebuilt(copy, place / "full")) == {}
    shutil.rmtree(place)


def line(like: Row, **values: str) -> Row:
    """Return a line of a transaction of its own, 10.00 with a delivery charge of 6.50."""
    own = {"Transaction_ID": "900001", "Quantity": "1", "Avg_Price": "10", "Delivery_Charges": "6.50"}
    return like | own | {"Coupon_Status": "Not Used"} | values


def deliver(project: Project, name: str, rows: list[Row]) -> None:
    """Write a file and load it."""
    write(project.folder / name, rows)
    project.ingest()


def test_a_change_behind_a_newer_rate_file_is_seen(copy: Project) -> None:
    """Two parts hold the same line; the later one, which counts, loses it."""
    first, *_, last = read(copy.folder / SALES)
    mine, other = first["CustomerID"], last["CustomerID"]
    assert mine != other
    own = line(last, Transaction_ID="900002")
    deliver(copy, NEXT_PART, [first | {"CustomerID": other}, own])
    rewrite(copy.folder, "Tax_amount.csv", lambda rows: rows[::-1])
    copy.ingest()
    run(copy)
    buyer = (
        "select customer_id from analytics.fct_sales"
        f" where transaction_id = {first['Transaction_ID']} and product_sku = '{first['Product_SKU']}'"
    )
    assert copy.query(buyer) == [(int(other),)]

    deliver(copy, NEXT_PART, [own])
    run(copy)

    assert copy.query(buyer) == [(int(mine),)]


def test_an_order_over_two_days_and_files_is_charged_one_delivery(copy: Project, tmp_path: Path) -> None:
    like, other, *_ = read(copy.folder / SALES)
    days = {"Transaction_Date": "5/5/2019"}, {"Transaction_Date": "5/6/2019"}
    allocated = "select delivery_amount from analytics.fct_sales where transaction_id = 900001"
    deliver(copy, NEXT_PART, [line(like, **days[0], Product_SKU="first")])
    run(copy)
    assert copy.query(allocated) == [(Decimal("6.50"),)]

    deliver(copy, "Online_Sales_3.csv", [line(other, **days[1], Product_SKU="second")])
    run(copy.copy(tmp_path / "backfill"), start_date="2019-05-06", end_date="2019-05-07")
    run(copy)

    backfilled = replace(copy, warehouse=tmp_path / "backfill" / WAREHOUSE)
    for project in (copy, backfilled):
        assert project.query(allocated) == [(Decimal("3.25"),)] * 2


def test_only_the_rows_that_changed_are_written(copy: Project) -> None:
    before = built_when(copy)
    rewrite(copy.folder, "Tax_amount.csv", lambda rows: rows[::-1])
    like = read(copy.folder / SALES)[0]
    deliver(copy, NEXT_PART, [line(like)])

    run(copy)

    after = built_when(copy)
    assert {key: after[key] for key in before} == before
    assert len(after) == len(before) + 1


def test_a_customer_who_leaves_the_file_leaves_the_sales_to_the_unknown(copy: Project) -> None:
    buyers = [row["CustomerID"] for row in read(copy.folder / SALES)]
    rarest = min(set(buyers), key=lambda buyer: (buyers.count(buyer), buyer))
    everyone = [row["CustomerID"] for row in read(copy.folder / CUSTOMERS)]
    totals = "select count(*), sum(total_amount) from analytics.fct_sales"
    before = copy.query(totals)
    assert copy.query(f"select * from analytics.dim_customer where customer_id = {UNKNOWN}") == []

    copy.edit(
        CUSTOMERS,
        lambda rows: [row | {"CustomerID": "990001"} if row["CustomerID"] == rarest else row for row in rows],
    )
    outcome = build_with_tests(copy)

    assert outcome.failed == set()
    assert copy.query(totals) == before
    assert copy.query(
        f"select distinct source_customer_id from analytics.fct_sales where customer_id = {UNKNOWN}"
    ) == [(int(rarest),)]
    assert copy.query(
        "select gender, location, customer_tenure_months, customer_segment, first_purchase_date"
        f" from analytics.dim_customer where customer_id = {UNKNOWN}"
    ) == [(None, None, None, "Unknown Customer", None)]
    assert copy.query(
        f"select distinct order_number from analytics.fct_orders where customer_id = {UNKNOWN}"
    ) == [(None,)]
    [(seen,)] = copy.query(
        "select sum(first_seen_customer_count) from analytics.fct_marketing_performance_daily"
    )
    assert seen == len(set(buyers)) - 1
    run(copy)
    features = copy.query("select customer_id from staging.int_customer_features order by 1")
    assert features == sorted((int(one),) for one in [*everyone, "990001"] if one != rarest)


def test_a_backfill_changes_nothing_outside_its_interval(copy: Project) -> None:
    days = [
        day for (day,) in copy.query("select distinct transaction_date from analytics.fct_sales order by 1")
    ]
    first, second, *_ = days
    lost = f"transaction_date in ('{first}', '{second}')"
    expected = marts(copy)
    [(gone,)] = copy.query(f"select count(*) from analytics.fct_sales where transaction_date = '{second}'")
    copy.query(f"delete from analytics.fct_sales where {lost}")
    kept = built_when(copy)

    outcome = build_with_tests(copy, start_date=str(first), end_date=str(second))

    assert outcome.failed == set()
    found = marts(copy)
    assert found["dim_customer"] == expected["dim_customer"]
    assert len(found["fct_sales"]) == len(expected["fct_sales"]) - gone
    assert copy.query(f"select distinct transaction_date from analytics.fct_sales where {lost}") == [(first,)]
    after = built_when(copy)
    assert {key: after[key] for key in kept} == kept

    assert copy.dbt("test", "--select", "sales_reconcile_with_staging").states == {
        "sales_reconcile_with_staging": "fail"
    }
    run(copy)
    assert marts(copy) == expected


def test_a_range_as_the_first_run_makes_nobody_new(copy: Project) -> None:
    """The files tell who bought before; the first run without a range tells what is missing."""
    days = "date_day between '2019-09-01' and '2019-09-30'"
    counts = (
        "select date_day, order_count, first_seen_customer_count, returning_customer_count"
        f" from analytics.fct_marketing_performance_daily where {days} order by 1"
    )
    expected = copy.query(counts)
    copy.query("drop table analytics.fct_sales")

    outcome = build_with_tests(copy, start_date="2019-09-01", end_date="2019-10-01")

    assert outcome.failed == set()
    assert copy.query(counts) == expected
    assert sum(orders for _, orders, *_ in expected) > 0
    assert copy.query(
        "select count(*) from analytics.fct_sales"
        " where transaction_date not between '2019-09-01' and '2019-09-30'"
    ) == [(0,)]
    complete = ("sales_reconcile_with_staging", "daily_revenue_reconciles_with_orders")
    assert copy.dbt("test", "--select", *complete).failed == set(complete)


def test_a_line_keeps_the_category_that_it_was_sold_under(copy: Project) -> None:
    like = read(copy.folder / SALES)[0]
    taxes = read(copy.folder / "Tax_amount.csv")[:2]
    before, after = (row["Product_Category"] for row in taxes)
    sold = [
        line(like, Product_SKU="moves", Product_Category=before, Transaction_Date="5/5/2019"),
        line(
            like,
            Product_SKU="moves",
            Product_Category=after,
            Transaction_Date="6/6/2019",
            Transaction_ID="900002",
        ),
    ]
    deliver(copy, NEXT_PART, sold)

    outcome = build_with_tests(copy)

    assert outcome.failed == set()
    assert copy.query(
        "select category from analytics.fct_sales where product_sku = 'moves' order by transaction_date"
    ) == [(before,), (after,)]
    assert copy.query("select category from analytics.dim_products where product_sku = 'moves'") == [(after,)]


def test_a_number_that_is_used_again_loses_no_line_and_each_year_can_be_restated(copy: Project) -> None:
    this_year = read(copy.folder / SALES)
    lines, ids = copy.query("select count(*), count(distinct sales_line_id) from analytics.fct_sales")[0]
    next_year = [
        row | {"Transaction_Date": row["Transaction_Date"].replace("2019", "2020")} for row in this_year
    ]
    deliver(copy, NEXT_PART, next_year)

    outcome = build_with_tests(copy)

    assert outcome.failed == set()
    total = "select count(*), count(distinct sales_line_id) from analytics.fct_sales"
    assert copy.query(total) == [(2 * lines, 2 * ids)]
    a_year = (
        "select year(transaction_date), sum(quantity), sum(delivery_amount) from analytics.fct_sales"
        " group by 1"
    )
    [(_, quantity, delivery), (_, *again)] = copy.query(f"{a_year} order by 1")
    assert again == [quantity, delivery]

    copy.edit(SALES, lambda rows: [row | {"Quantity": str(2 * int(row["Quantity"]))} for row in rows])
    run(copy)

    restated = {year: (quantity, delivery) for year, quantity, delivery in copy.query(a_year)}
    assert restated == {2019: (2 * quantity, delivery), 2020: (quantity, delivery)}


A_DAY = {"start_date": "2019-03-01", "end_date": "2019-03-02"}


@pytest.mark.parametrize(
    ("damage", "days"),
    [
        ("insert into analytics.fct_sales select * from analytics.fct_sales limit 3", {}),
        ("update analytics.fct_sales set row_hash = null", {}),
        ("update analytics.fct_sales set row_hash = null", A_DAY),
        ("alter table analytics.fct_sales drop row_hash", A_DAY),
    ],
    ids=["rows twice", "hashes not yet filled", "and a range", "a release without hashes, and a range"],
)
def test_a_run_mends_rows_that_cannot_be_compared(copy: Project, damage: str, days: dict[str, str]) -> None:
    named = "select sales_line_id, total_amount, row_hash from analytics.fct_sales order by all"
    lines = copy.query(named)
    copy.query(damage)

    run(copy, **days)

    assert copy.query(named) == lines


def test_ratios_are_metrics_of_the_sums(shop: Project) -> None:
    for name, ratio in {
        "blended_return_on_spend": (
            "sum(revenue_amount) / sum(total_spend_amount) from analytics.fct_marketing_performance_monthly"
        ),
        "average_order_value": "sum(net_sales_amount) / count(*) from analytics.fct_orders",
        "discount_share": "sum(discount_amount) / sum(gross_sales_amount) from analytics.fct_sales",
    }.items():
        [(expected,)] = shop.query(f"select {ratio}")
        assert float(shop.metric(name)) == pytest.approx(expected), name


def test_a_day_with_less_than_half_of_its_lines_is_told(copy: Project) -> None:
    """A warning names the day; here only the spend goes on, and the lines of the newest day are missing."""
    volume = ("test", "--select", "test_name:usual_number_of_rows")
    before = copy.dbt(*volume)
    newest = copy.query("select max(date_day) from analytics.dim_datetime")[0][0]
    copy.query(
        "insert into staging.base_online_sales select sales.* replace (days.date_day as transaction_date)"
        " from (from staging.base_online_sales limit 4) as sales cross join analytics.dim_datetime as days"
        f" where days.date_day < '{newest}'"
    )
    copy.query(f"delete from staging.base_online_sales where transaction_date = '{newest}'")
    assert copy.dbt("run", "--select", "int_sales_priced").success

    outcome = copy.dbt(*volume)

    assert outcome.success
    assert set(outcome.states.values()) == {"warn"}
    told = f"{newest:%A}, {newest} has 0 order lines, less than half of the "
    assert told not in before.output
    assert told in outcome.output
