"""From the star schema to segments and back into the warehouse: features, training, reseed, marts."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from include.local.sample_data import generate
from include.settings import PROJECT_ROOT, Settings
from include.warehouse.duckdb import DuckDBWarehouse
from ml import evaluation, reseed
from ml.features import load_features
from ml.registry import Registry, RegistryError
from ml.train import train
from tests.dbt.dbt_project import WITHOUT_TESTS, Project, make_project, run_dbt

MARTS = ("build", "--select", "tag:segment_marts", "--exclude-resource-type", "unit_test")


@pytest.fixture(scope="module", autouse=True)
def few_refits() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "BOOTSTRAP_REFITS", 3)
        patch.setattr(evaluation, "SEEDS", 2)
        patch.setattr(evaluation, "SELECTION_REFITS", 1)
        patch.setattr(evaluation, "MAX_K", 3)
        yield


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The generated shop, built before any training: the segments are empty, and that is no failure."""
    project = make_project(tmp_path_factory.mktemp("segments"))
    generate(project.folder)
    project.ingest()
    run_dbt(project, "build", *WITHOUT_TESTS)
    return project


@pytest.fixture(scope="module")
def manifest(built: Project) -> Any:
    """The parsed project."""
    return built.dbt_as_typed("parse").raw.result


@pytest.fixture
def shop(built: Project, manifest: Any, tmp_path: Path) -> Project:
    """A copy to change at will."""
    copy = built.copy(tmp_path)
    return Project(copy.tree, copy.folder, copy.warehouse, manifest)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "registry")


@pytest.fixture
def settings(shop: Project, tmp_path: Path) -> Settings:
    return Settings(
        warehouse="duckdb", duckdb_path=shop.warehouse, segments_seed_file=tmp_path / "customer_segments.csv"
    )


def trained(shop: Project, registry: Registry, seed: int = 0, k: int = 5) -> str:
    """Train on the warehouse's features and return the version, now current."""
    features = load_features(DuckDBWarehouse(shop.warehouse))
    return train(features, registry, seed=seed, k=k, force=True).version.version


def location(registry: Registry) -> str:
    return str(registry._root)


def seeded(shop: Project) -> list[tuple[Any, ...]]:
    return shop.query("select * from analytics.customer_segments order by customer_id")


def test_before_the_first_training_the_marts_are_empty_and_every_test_passes(shop: Project) -> None:
    assert shop.query("select count(*) from analytics.fct_customer_segments") == [(0,)]
    assert shop.query("select count(*) from analytics.fct_customer_rfm") != [(0,)]
    tests = shop.dbt("test", "--select", "tag:segments", "--exclude-resource-type", "unit_test")
    assert tests.success, tests.failed
    assert len(tests.states) >= 30


def test_trained_segments_reach_the_marts(shop: Project, registry: Registry, settings: Settings) -> None:
    version = trained(shop, registry)
    done = reseed.reseed(location(registry), settings)

    assert done.version == version
    marts = shop.dbt(*MARTS)
    assert marts.success, marts.failed
    [(customers, named, revenue, orders)] = shop.query(
        "select count(*), count(distinct segment_name), sum(total_revenue), sum(total_orders)"
        " from analytics.fct_customer_segments"
    )
    [(buyers, sold, placed)] = shop.query(
        "select count(distinct customer_id), sum(net_sales_amount), count(*) from analytics.fct_orders"
    )
    assert (customers, revenue, orders) == (buyers, sold, placed) == (done.customers, sold, placed)
    assert named == 5
    assert isinstance(revenue, Decimal)
    assert shop.query("select distinct model_version from analytics.fct_customer_segments") == [(version,)]
    assert settings.segments_seed_file.read_text().count("\n") == customers + 1


def test_a_second_reseed_changes_nothing(shop: Project, registry: Registry, settings: Settings) -> None:
    trained(shop, registry)
    reseed.reseed(location(registry), settings)
    before = seeded(shop)
    assert shop.dbt(*MARTS).success
    reseed.reseed(location(registry), settings)
    assert shop.dbt(*MARTS).success

    assert seeded(shop) == before
    [(stays, customers)] = shop.query(
        "select count(*), count(distinct customer_id) from snapshots.segment_history"
    )
    assert stays == customers == len(before)


def test_the_bulk_loader_fills_the_same_table(shop: Project, registry: Registry, settings: Settings) -> None:
    trained(shop, registry)
    columns = (
        "select column_name, data_type from information_schema.columns where table_name = 'customer_segments'"
    )
    reseed.reseed(location(registry), settings)
    by_dbt, types = seeded(shop), shop.query(columns)
    shop.query("drop table analytics.customer_segments cascade")

    reseed.reseed(location(registry), settings, largest_seed=10)
    assert (seeded(shop), shop.query(columns)) == (by_dbt, types)
    reseed.reseed(location(registry), settings, largest_seed=10)
    assert seeded(shop) == by_dbt


def test_customers_who_change_segment_show_as_migrations_also_after_a_rollback(
    shop: Project, registry: Registry, settings: Settings
) -> None:
    def migrated(version: str) -> dict[tuple[Any, Any], int]:
        rows = shop.query(
            "select from_segment_name, to_segment_name, customer_count from analytics.fct_segment_migrations"
            f" where model_version = '{version}' order by migrated_at"
        )
        return {(before, after): count for before, after, count in rows}

    first = trained(shop, registry)
    reseed.reseed(location(registry), settings)
    assert shop.dbt(*MARTS).success
    assert {before for before, _ in migrated(first)} == {None}

    second = trained(shop, registry, k=3)
    reseed.reseed(location(registry), settings)
    assert shop.dbt(*MARTS).success
    old, new = registry.segment_ids(first), registry.segment_ids(second)
    moved = int((old != new.reindex(old.index)).sum())
    assert moved > 0
    assert sum(migrated(second).values()) == moved

    registry.rollback()
    reseed.reseed(location(registry), settings)
    assert shop.dbt(*MARTS).success
    back = {pair: count for pair, count in migrated(first).items() if pair[0] is not None}
    assert back == {(after, before): count for (before, after), count in migrated(second).items()}


def test_recency_counts_from_the_as_of_date(shop: Project) -> None:
    assert shop.dbt("run", "--select", "int_customer_features", as_of_date="2019-03-31").success
    [(latest, orders)] = shop.query(
        "select max(last_order_date)::varchar, sum(frequency) from staging.int_customer_features"
    )
    assert latest == "2019-03-31"
    expected = "select count(*) from analytics.fct_orders where order_date <= '2019-03-31'"
    assert shop.query(expected) == [(orders,)]


def test_without_a_current_version_there_is_nothing_to_seed(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="train one first"):
        reseed.reseed(str(tmp_path / "nowhere"), settings)


def test_a_version_whose_segments_were_tampered_with_is_refused(
    shop: Project, registry: Registry, settings: Settings
) -> None:
    version = trained(shop, registry)
    reseed.reseed(location(registry), settings)
    before = seeded(shop)
    path = Path(registry.location(version)) / "segments.csv"
    path.write_text(path.read_text().replace("Champions (VIPs)", "Nobodies"))
    with pytest.raises(RegistryError, match="changed after the training"):
        reseed.reseed(location(registry), settings)
    assert seeded(shop) == before


def test_a_reseed_that_is_killed_leaves_whole_segments(
    shop: Project, registry: Registry, settings: Settings
) -> None:
    """The old ones or the new ones; and the next reseed works."""
    trained(shop, registry, k=3)
    reseed.reseed(location(registry), settings)
    old = seeded(shop)
    version = trained(shop, registry)
    environment = {
        **os.environ,
        "DUCKDB_PATH": str(shop.warehouse),
        "SEGMENTS_SEED_FILE": str(settings.segments_seed_file),
        "ML_REGISTRY": location(registry),
        "PYTHONPATH": str(PROJECT_ROOT),
    }
    for seconds in (4, 6):  # while dbt starts, and about when it loads
        with subprocess.Popen(
            [sys.executable, "-m", "ml.reseed"], env=environment, start_new_session=True
        ) as process:
            time.sleep(seconds)
            os.killpg(process.pid, signal.SIGKILL)
        found = seeded(shop)
        assert len(found) == len(old)
        assert {row[3] for row in found} in ({version}, {old[0][3]})

    reseed.reseed(location(registry), settings)
    assert {row[3] for row in seeded(shop)} == {version}


def test_two_reseeds_at_once_load_one_version(shop: Project, registry: Registry, settings: Settings) -> None:
    version = trained(shop, registry)
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: reseed.reseed(location(registry), settings), range(2)))
    assert [one.version for one in done] == [version, version]
    assert len(seeded(shop)) == done[0].customers


def test_dbts_complaint_is_the_error(shop: Project, registry: Registry, settings: Settings) -> None:
    """A table that is no seed's, as somebody's view of that name: nothing is half-loaded."""
    trained(shop, registry)
    shop.query("drop table analytics.customer_segments cascade")
    shop.query("create view analytics.customer_segments as select 1 as customer_id")
    with pytest.raises(reseed.ReseedError, match="customer_segments failed"):
        reseed.reseed(location(registry), settings)
