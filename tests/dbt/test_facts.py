"""The facts follow their sources: whatever changes in the files, an incremental run ends where a full refresh does."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from standalone.sample_data.generator import generate
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

SALES, CUSTOMERS = "Online_Sales.csv", "CustomersData.csv"
NEXT_PART = "Online_Sales_2.csv"
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
QUICKLY = ("--no-write-json",)  # else each run writes the manifest

Change = Callable[[Path, Random], None]


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
    done = project.dbt("run", *QUICKLY, "--select", *before, "fct_sales", **variables)
    assert done.success, done.output


def build_with_tests(project: Project, **variables: str) -> Outcome:
    """Build and test what marketing_pipeline does."""
    unit_tests = ("--exclude-resource-type", "unit_test")
    return project.dbt("build", "--exclude", "tag:segments", "tag:streaming", *unit_tests, **variables)


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
    after = (f"fct_sales+,{mart}" for mart in MARTS)
    done = other.dbt("run", *QUICKLY, "--full-refresh", "--select", *after, "int_customer_features")
    assert done.success, done.output
    return marts(other)


def built_when(project: Project) -> dict[str, Any]:
    """Return when each line was built."""
    return dict(project.query("select sales_line_id, processed_at from analytics.fct_sales"))


def differing(found: dict[str, Rows], expected: dict[str, Rows]) -> dict[str, tuple[Rows, Rows]]:
    """Return each mart's rows that only one side has."""
    return {
        mart: (sorted(set(rows) - set(expected[mart]), key=str), sorted(set(expected[mart]) - set(rows), key=str))
        for mart, rows in found.items()
        if rows != expected[mart]
    }


def rewrite(folder: Path, name: str, change: Callable[[list[Row]], list[Row]]) -> None:
    """Rewrite a file without loading it."""
    write(folder / name, change(read(folder / name)))


def with_one(rows: list[Row], random: Random, **values: str) -> list[Row]:
    """Return the rows, one of them with other values."""
    chosen = random.randrange(len(rows))
    return [row | values if number == chosen else row for number, row in enumerate(rows)]


def a_day(random: Random) -> str:
    return f"{random.randint(1, 12)}/{random.randint(1, 28)}/{random.choice((2019, 2019, 2019, 2020))}"


def corrected_line(folder: Path, random: Random) -> None:
    values = random.choice(
        [
            {"Quantity": str(random.randint(1, 9))},
            {"Avg_Price": f"{random.randint(0, 99999) / 1000}"},
            {"Delivery_Charges": f"{random.randint(0, 999) / 100}"},
            {"Coupon_Status": random.choice(["Used", "Clicked", "Not Used"])},
        ]
    )
    rewrite(folder, SALES, lambda rows: with_one(rows, random, **values))


def removed_line(folder: Path, random: Random) -> None:
    def without(rows: list[Row]) -> list[Row]:
        gone = random.randrange(len(rows))
        return rows[:gone] + rows[gone + 1 :]

    rewrite(folder, SALES, without)


def new_line(folder: Path, random: Random) -> None:
    """Of a new transaction, or of one that is there, perhaps on another day."""

    def more(rows: list[Row]) -> list[Row]:
        like, product = random.choice(rows), random.choice(rows)
        new = product | {name: like[name] for name in ("CustomerID", "Transaction_Date")}
        new["Transaction_ID"] = random.choice([like["Transaction_ID"], str(900_000 + random.randrange(9))])
        if random.random() < 0.3:
            new["Transaction_Date"] = a_day(random)
        return [*rows, new]

    rewrite(folder, SALES, more)


def moved_day(folder: Path, random: Random) -> None:
    rewrite(folder, SALES, lambda rows: with_one(rows, random, Transaction_Date=a_day(random)))


def other_buyer(folder: Path, random: Random) -> None:
    buyer = random.choice([*(row["CustomerID"] for row in read(folder / CUSTOMERS)), "990001", ""])
    rewrite(folder, SALES, lambda rows: with_one(rows, random, CustomerID=buyer))


def replaced_customer(folder: Path, random: Random) -> None:
    rewrite(folder, CUSTOMERS, lambda rows: with_one(rows, random, CustomerID="990002"))


def other_category(folder: Path, random: Random) -> None:
    category = random.choice(read(folder / "Tax_amount.csv"))["Product_Category"]
    rewrite(folder, SALES, lambda rows: with_one(rows, random, Product_Category=category))


def number_used_again(folder: Path, random: Random) -> None:
    def again(rows: list[Row]) -> list[Row]:
        number = random.choice(rows)["Transaction_ID"]
        lines = [row for row in rows if row["Transaction_ID"] == number]
        return rows + [row | {"Transaction_Date": "3/3/2020"} for row in lines]

    rewrite(folder, SALES, again)


def restated_coupon(folder: Path, random: Random) -> None:
    rewrite(folder, "Discount_Coupon.csv", lambda rows: with_one(rows, random, Discount_pct="35"))


def restated_tax(folder: Path, random: Random) -> None:
    rewrite(folder, "Tax_amount.csv", lambda rows: with_one(rows, random, GST="7%"))


def split_file(folder: Path, random: Random) -> None:
    """The second part repeats a line of the first, corrected."""

    def first_part(rows: list[Row]) -> list[Row]:
        half = random.randrange(2, len(rows) - 1)
        repeated = rows[random.randrange(half)] | {"Quantity": str(random.randint(1, 9))}
        write(folder / NEXT_PART, [repeated, *rows[half:]])
        return rows[:half]

    if not (folder / NEXT_PART).exists():
        rewrite(folder, SALES, first_part)


CHANGES: list[Change] = [
    corrected_line,
    removed_line,
    new_line,
    moved_day,
    other_buyer,
    replaced_customer,
    other_category,
    number_used_again,
    restated_coupon,
    restated_tax,
    split_file,
]
RANGES = [("2019-03-01", "2019-03-02"), ("2019-06-01", "2019-09-01"), ("2020-01-01", "2021-01-01")]

deliveries = st.lists(
    st.tuples(st.sampled_from(CHANGES), st.integers(0, 10_000)), min_size=1, max_size=3, unique_by=lambda c: c[0]
)
ranges = st.none() | st.sampled_from(RANGES)


@given(deliveries=st.lists(st.tuples(deliveries, ranges), min_size=1, max_size=2))
@settings(
    max_examples=int(os.environ.get("FACTS_EXAMPLES", "8")),
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
