"""From purchase days to the outlook's marts: stored, compared with what came, empty when refused."""

import datetime as dt
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from include.warehouse.duckdb import DuckDBWarehouse
from ml import outlook
from ml.purchases import HORIZON_DAYS, purchases
from tests.dbt.dbt_project import Project, make_shop

MARTS = ("fct_customer_outlook", "fct_outlook_backtest", "next_best_actions")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The generated shop, built before any training."""
    project = make_shop(tmp_path_factory.mktemp("outlook"))
    return replace(project, manifest=project.dbt_as_typed("parse").raw.result)


@pytest.fixture
def shop(built: Project, tmp_path: Path) -> Project:
    return replace(built.copy(tmp_path), manifest=built.manifest)


def build(shop: Project) -> None:
    done = shop.dbt("build", "--select", *MARTS, "--exclude-resource-type", "unit_test")
    assert done.success, done.failed


def test_before_the_first_training_the_marts_are_empty_and_every_test_passes(shop: Project) -> None:
    build(shop)

    assert shop.query("select count(*) from analytics.fct_customer_outlook") == [(0,)]


def test_every_customer_with_an_order_has_an_outlook_and_an_action(shop: Project) -> None:
    warehouse = DuckDBWarehouse(shop.warehouse)

    made = outlook.predict(warehouse)

    assert made is not None
    build(shop)
    [(customers, probability, purchases_, actions)] = shop.query(
        "select count(*), sum(purchase_probability), sum(expected_purchases), count(next_best_action)"
        " from analytics.fct_customer_outlook"
    )
    assert customers == actions == len(made.predictions)
    assert float(probability) == pytest.approx(made.predictions["probability"].sum(), abs=0.01)
    assert float(purchases_) == pytest.approx(made.predictions["expected_purchases"].sum(), abs=0.01)


def test_the_back_test_counts_what_came_as_the_model_does(shop: Project) -> None:
    warehouse = DuckDBWarehouse(shop.warehouse)
    days = outlook.load_days(warehouse)
    known = purchases(days)
    origin = known.as_of - dt.timedelta(days=HORIZON_DAYS)

    made = outlook.predict(warehouse, origin)

    assert made is not None
    build(shop)
    came = known.counts_after(origin, HORIZON_DAYS, made.predictions.index)
    assert shop.query(
        "select as_of_date, sum(customer_count), sum(actual_buyers), sum(actual_purchases)"
        " from analytics.fct_outlook_backtest group by 1"
    ) == [(origin, len(came), (came > 0).sum(), came.sum())]


def test_a_repetition_replaces_and_a_month_keeps_its_first_day(shop: Project) -> None:
    warehouse = DuckDBWarehouse(shop.warehouse)
    end = purchases(outlook.load_days(warehouse)).as_of.replace(day=28)
    first, second, newest = (end.replace(day=day) for day in (7, 14, 21))

    for day in (first, second, newest, newest):
        outlook.predict(warehouse, day)

    assert shop.query(f"select as_of_date, count(*) > 0 from {outlook.TABLE} group by 1 order by 1") == [
        (first, True),
        (newest, True),
    ]
    assert shop.query(
        f"select count(*) - count(distinct (customer_id, as_of_date)) from {outlook.TABLE}"
    ) == [(0,)]


def test_too_short_a_history_stores_nothing_and_says_why(
    shop: Project, caplog: pytest.LogCaptureFixture
) -> None:
    warehouse = DuckDBWarehouse(shop.warehouse)
    start = purchases(outlook.load_days(warehouse)).start

    assert outlook.predict(warehouse, start + dt.timedelta(days=100)) is None

    assert "there are 101 days of orders, and it needs 180." in caplog.text
    build(shop)
    assert shop.query("select count(*) from analytics.fct_customer_outlook") == [(0,)]


def test_the_command_says_what_it_stored_or_why_not(shop: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlook, "get_warehouse", lambda role: DuckDBWarehouse(shop.warehouse))
    monkeypatch.setattr(outlook, "RESAMPLES", 5)
    run = CliRunner().invoke

    done = run(outlook.app, [])
    assert done.exit_code == 0, done.output
    assert "are expected to buy again within 90 days" in done.output
    assert shop.query(f"select count(*) > 0 from {outlook.TABLE}") == [(True,)]
    assert run(outlook.app, ["--as-of", "2019-02-01"]).exit_code == 1
    assert run(outlook.app, ["--as-of", "1 May"]).exit_code == 2


def test_every_segment_and_band_has_an_action(shop: Project) -> None:
    build(shop)

    rules = shop.query(
        "select segment_id, count(distinct probability_band) from staging.next_best_actions group by 1"
    )

    assert sorted(rules, key=str) == [(0, 3), (1, 3), (2, 3), (3, 3), (4, 3), (None, 3)]
