"""dbt's state and docs, and the build of what differs from a state, on a small project."""

import re
import shutil
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from include.settings import DBT_PROJECT_DIR, Settings
from include.warehouse.duckdb import DuckDBWarehouse
from ml.seed import COLUMNS
from standalone.dbt_state import (
    AMOUNTS,
    WAREHOUSE,
    StateError,
    build_changes,
    make_state,
    money_differences,
)

MODELS = {
    "parent": "select count(*) as customers from raw.customers",
    "child": "select customers + 1 as more from {{ ref('parent') }}",
    "other": "select 1 as one",
}
BUILT = re.compile(r"OK created sql \w+ model analytics\.(\w+)")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Three tables, one of which depends on another, with the product's own profile."""
    folder = tmp_path / "project"
    (folder / "models").mkdir(parents=True)
    shutil.copy(DBT_PROJECT_DIR / "profiles.yml", folder)
    (folder / "dbt_project.yml").write_text(
        "name: small\nprofile: marketing_insights\nmodels: {+materialized: table}\n"
        "flags: {send_anonymous_usage_stats: false, use_colors: false}\n"
    )
    (folder / "seeds").mkdir()
    customers_in_use = ",".join(COLUMNS) + "\n9999,1,Loyal Customers,v1\n"  # of a real shop
    (folder / "seeds" / "customer_segments.csv").write_text(customers_in_use)
    (folder / "tests").mkdir()
    (folder / "tests" / "no_stranger.sql").write_text("select * from {{ ref('customer_segments') }}")
    for name, sql in MODELS.items():
        (folder / "models" / f"{name}.sql").write_text(sql)
    return folder


def test_only_what_changed_and_its_children_are_built(
    project: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings, state = Settings(local_dir=tmp_path / "local"), tmp_path / "state"
    make_state(settings, state, project)
    assert sorted(BUILT.findall(capfd.readouterr().out)) == ["child", "other", "parent"]
    assert "small" in (state / "static_index.html").read_text()

    (project / "models" / "parent.sql").write_text("select -1 as customers")
    build_changes(settings, state, project)
    assert BUILT.findall(capfd.readouterr().out) == ["parent", "child"]
    assert more(tmp_path / "local/slim" / WAREHOUSE) == 0
    assert "9999" in (project / "seeds" / "customer_segments.csv").read_text()
    assert more(state / WAREHOUSE) == 1469  # the state is as it was: the next change is compared with it, too

    (project / "models" / "other.sql").write_text("select 1 as one where no such thing")
    with pytest.raises(StateError, match="dbt build failed with exit code 1"):
        build_changes(settings, state, project)


def sales(warehouse: Path, *lines: tuple[str, str, str]) -> Path:
    """Make a warehouse with order lines of a day, product and net amount; pens are Office, bags are Bags."""
    with DuckDBWarehouse(warehouse).session() as session:
        session.execute("create schema analytics")
        session.execute(
            "create table analytics.dim_products as"
            " select * from (values ('pen', 'Office'), ('bag', 'Bags')) as products (product_sku, category)"
        )
        amounts = ", ".join(f"{name} decimal(18, 2)" for name in AMOUNTS)
        session.execute(
            f"create table analytics.fct_sales (transaction_date date, product_sku varchar, {amounts})"
        )
        for day, product, net in lines:
            session.execute(
                "insert into analytics.fct_sales by name select ?::date as transaction_date,"
                " ? as product_sku, ?::decimal(18, 2) as net_sales_amount",
                [day, product, net],
            )
    return warehouse


def test_money_is_compared_by_month_and_category(tmp_path: Path) -> None:
    """Two changes that cancel out in the total are told."""
    before = sales(
        tmp_path / "before.duckdb",
        ("2019-01-01", "pen", "10.00"),
        ("2019-01-31", "pen", "5.00"),
        ("2019-02-01", "pen", "7.00"),
        ("2019-02-01", "bag", "3.00"),
    )
    after = sales(
        tmp_path / "after.duckdb",
        ("2019-01-15", "pen", "15.00"),
        ("2019-02-01", "pen", "6.99"),
        ("2019-03-01", "bag", "3.01"),
    )

    assert money_differences(before, before) == []
    assert money_differences(before, after) == [
        (date(2019, 2, 1), "Bags", "net_sales_amount", Decimal("3.00"), None),
        (date(2019, 2, 1), "Office", "net_sales_amount", Decimal("7.00"), Decimal("6.99")),
        (date(2019, 3, 1), "Bags", "net_sales_amount", None, Decimal("3.01")),
    ]


def more(warehouse: Path) -> int:
    with DuckDBWarehouse(warehouse).session() as session:
        return int(session.execute("select more from analytics.child")[0][0])


def test_without_a_state_there_is_nothing_to_compare_with(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"has no manifest.json: run `make state`"):
        build_changes(Settings(local_dir=tmp_path), tmp_path / "state")
