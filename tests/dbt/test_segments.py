"""From the star schema to segments and back into the warehouse: features, training, reseed, marts."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from include.query import ask
from include.settings import PROJECT_ROOT, Settings
from include.warehouse.duckdb import DuckDBWarehouse
from ml import evaluation, reseed
from ml.features import load_features
from ml.gate import CHECKS
from ml.registry import Registry, RegistryError, open_registry
from ml.training import train
from tests.bench.segments import SHOP
from tests.dbt.dbt_project import WAREHOUSE, Project, make_shop
from tests.insights.questions import QUESTIONS

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
    return make_shop(tmp_path_factory.mktemp("segments"))


@pytest.fixture(scope="module")
def manifest(built: Project) -> Any:
    """The parsed project."""
    return built.dbt_as_typed("parse").raw.result


def test_make_benchs_million_customers_have_what_the_features_need(
    built: Project, manifest: Any, tmp_path: Path
) -> None:
    """Their shop is written down in SQL, and no model of ours made it."""
    shop = replace(built, warehouse=tmp_path / WAREHOUSE, manifest=manifest)
    with DuckDBWarehouse(shop.warehouse).session() as session:
        session.execute(SHOP.format(customers=100))
    assert shop.dbt("run", "--select", "int_customer_features").success
    assert len(load_features(DuckDBWarehouse(shop.warehouse)).frame) == 100


@dataclass(frozen=True)
class Trained:
    """A shop with a registry of two versions: `first`, of three segments, then `second`, of five."""

    shop: Project
    location: str
    settings: Settings
    first: str
    second: str

    @property
    def registry(self) -> Registry:
        return open_registry(self.location)

    def reseed(self, **options: int) -> reseed.Reseeded:
        return reseed.reseed(self.location, self.settings, **options)

    def seeded(self) -> list[tuple[Any, ...]]:
        return self.shop.query("select * from analytics.customer_segments order by customer_id")

    def build_marts(self) -> None:
        built = self.shop.dbt(*MARTS)
        assert built.success, built.failed


def settings_for(warehouse: Path) -> Settings:
    return Settings(
        warehouse="duckdb",
        duckdb_path=warehouse,
        segments_seed_file=warehouse.with_name("customer_segments.csv"),
    )


@pytest.fixture(scope="module")
def in_use(built: Project, manifest: Any, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The second version is seeded, and the marts are built."""
    folder = tmp_path_factory.mktemp("in_use")
    copy = built.copy(folder)
    shop = Project(copy.tree, copy.folder, copy.warehouse, manifest)
    features = load_features(DuckDBWarehouse(shop.warehouse))
    registry = open_registry(str(folder / "registry"))
    first, second = (train(features, registry, k=k, override=CHECKS).version.version for k in (3, 5))
    trained = Trained(shop, str(folder / "registry"), settings_for(shop.warehouse), first, second)
    trained.reseed()
    trained.build_marts()
    return trained


@pytest.fixture
def trained(in_use: Trained, tmp_path: Path) -> Trained:
    """A copy of it to change at will."""
    shop = in_use.shop.copy(tmp_path)
    shutil.copytree(in_use.location, tmp_path / "registry")
    settings = settings_for(shop.warehouse)
    return replace(in_use, shop=shop, location=str(tmp_path / "registry"), settings=settings)


def test_before_the_first_training_the_marts_are_empty_and_every_test_passes(
    built: Project, manifest: Any, tmp_path: Path
) -> None:
    shop = replace(built.copy(tmp_path), manifest=manifest)
    assert shop.query("select count(*) from analytics.fct_customer_segments") == [(0,)]
    assert shop.query("select count(*) from analytics.fct_customer_rfm") != [(0,)]
    tests = shop.dbt("test", "--select", "tag:segments", "--exclude-resource-type", "unit_test")
    assert tests.success, tests.failed
    assert len(tests.states) >= 30


def test_the_manuals_questions_have_answers_on_any_shop(in_use: Trained) -> None:
    with DuckDBWarehouse(in_use.shop.warehouse).reading() as session:
        answers = {one.title: ask(session, one.sql).rows for one in QUESTIONS}
    # The summary of the segments is built after their marts, by another DAG; and no feed ran.
    assert [title for title, rows in answers.items() if not rows] == ["The best segment", "Bitcoin now"]


def test_trained_segments_reach_the_marts(in_use: Trained) -> None:
    shop = in_use.shop
    [(customers, named, revenue, orders)] = shop.query(
        "select count(*), count(distinct segment_name), sum(total_revenue), sum(total_orders)"
        " from analytics.fct_customer_segments"
    )
    [(buyers, sold, placed)] = shop.query(
        "select count(distinct customer_id), sum(net_sales_amount), count(*) from analytics.fct_orders"
    )
    assert (customers, revenue, orders) == (buyers, sold, placed)
    assert named == 5
    assert isinstance(revenue, Decimal)
    versions = shop.query("select distinct model_version from analytics.fct_customer_segments")
    assert versions == [(in_use.second,)]


def test_dbt_seed_by_hand_loads_what_training_wrote(in_use: Trained, trained: Trained) -> None:
    """`dbt seed --select customer_segments` in a project that has the file which reseeding leaves there."""
    before = trained.seeded()
    trained.shop.query("delete from analytics.customer_segments")
    seed = trained.shop.directory / "seeds" / "customer_segments.csv"
    empty = seed.read_text()
    try:
        seed.write_text(in_use.settings.segments_seed_file.read_text())
        assert trained.shop.dbt("seed", "--select", "customer_segments").success
    finally:
        seed.write_text(empty)
    assert trained.seeded() == before


def test_a_second_reseed_changes_nothing(trained: Trained) -> None:
    before = trained.seeded()
    done = trained.reseed()
    trained.build_marts()
    assert (done.version, done.customers) == (trained.second, len(before))
    assert trained.seeded() == before
    [(stays, customers)] = trained.shop.query(
        "select count(*), count(distinct customer_id) from snapshots.segment_history"
    )
    assert stays == customers == len(before)


def test_the_bulk_loader_fills_the_same_table(trained: Trained) -> None:
    columns = (
        "select column_name, data_type from information_schema.columns where table_name = 'customer_segments'"
    )
    by_dbt, types = trained.seeded(), trained.shop.query(columns)
    trained.shop.query("drop table analytics.customer_segments cascade")
    trained.reseed(max_seed_rows=10)
    assert (trained.seeded(), trained.shop.query(columns)) == (by_dbt, types)


def test_a_rollback_brings_back_the_segments_and_shows_as_migrations(trained: Trained) -> None:
    def migrated(version: str) -> dict[tuple[Any, Any], int]:
        rows = trained.shop.query(
            "select from_segment_name, to_segment_name, sum(customer_count)"
            f" from analytics.fct_segment_migrations where model_version = '{version}' group by all"
        )
        return {(before, after): count for before, after, count in rows}

    assert {before for before, _ in migrated(trained.second)} == {None}, "a first segment is a move from none"
    trained.registry.rollback()
    trained.reseed()
    trained.build_marts()

    assert {row[3] for row in trained.seeded()} == {trained.first}
    old, new = (trained.registry.segment_ids(one) for one in (trained.second, trained.first))
    moved = int((old != new.reindex(old.index)).sum())
    assert moved > 0
    assert sum(migrated(trained.first).values()) == moved
    assert None not in {before for before, _ in migrated(trained.first)}


def test_every_build_scores_all_customers_with_the_model_in_use(trained: Trained) -> None:
    """As the model itself does; new behaviour and new customers count without a training, and say so."""
    shop = trained.shop
    shop.query("delete from analytics.customer_segments where customer_id % 2 = 0")  # new since the training
    shop.query("update staging.int_customer_features set recency_days = recency_days + 200")
    trained.build_marts()

    model = trained.registry.model(trained.second)
    expected = model.predict(load_features(DuckDBWarehouse(shop.warehouse)).frame)
    found: dict[int, int] = dict(
        shop.query("select customer_id, segment_id from analytics.fct_customer_segments")
    )
    assert found == expected.to_dict()
    causes = shop.query(
        "select distinct move_cause from analytics.fct_segment_migrations where from_segment_id is not null"
    )
    assert causes == [("behaviour",)], "no version was promoted"


def test_recency_counts_from_the_as_of_date(trained: Trained) -> None:
    shop = trained.shop
    assert shop.dbt("run", "--select", "int_customer_features", as_of_date="2019-03-31").success
    [(latest, orders)] = shop.query(
        "select max(last_order_date)::varchar, sum(frequency) from staging.int_customer_features"
    )
    assert latest == "2019-03-31"
    expected = "select count(*) from analytics.fct_orders where order_date <= '2019-03-31'"
    assert shop.query(expected) == [(orders,)]


def test_without_a_current_version_there_is_nothing_to_seed(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="train one first"):
        reseed.reseed(str(tmp_path / "nowhere"), settings_for(tmp_path / "none.duckdb"))


def test_a_version_whose_segments_were_tampered_with_is_refused(trained: Trained) -> None:
    before = trained.seeded()
    path = Path(trained.registry.location(trained.second)) / "segments.csv"
    path.write_text(path.read_text().replace("Champions (VIPs)", "Nobodies"))
    with pytest.raises(RegistryError, match="changed after the training"):
        trained.reseed()
    assert trained.seeded() == before


def test_a_reseed_that_is_killed_leaves_whole_segments(trained: Trained) -> None:
    """The old ones or the new ones; and the next reseed works."""
    before = trained.seeded()
    trained.registry.rollback()
    environment = {
        **os.environ,
        "DUCKDB_PATH": str(trained.shop.warehouse),
        "SEGMENTS_SEED_FILE": str(trained.settings.segments_seed_file),
        "ML_REGISTRY": trained.location,
        "PYTHONPATH": str(PROJECT_ROOT),
    }
    for seconds in (4, 6):  # while dbt starts, and about when it loads
        command = [sys.executable, "-m", "ml.reseed"]
        with subprocess.Popen(command, env=environment, start_new_session=True) as process:
            time.sleep(seconds)
            os.killpg(process.pid, signal.SIGKILL)
        found = trained.seeded()
        assert len(found) == len(before)
        assert {row[3] for row in found} in ({trained.second}, {trained.first})

    trained.reseed()
    assert {row[3] for row in trained.seeded()} == {trained.first}


def test_two_reseeds_at_once_load_one_version(trained: Trained) -> None:
    trained.registry.rollback()
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: trained.reseed(), range(2)))
    assert [one.version for one in done] == [trained.first] * 2
    assert len(trained.seeded()) == done[0].customers


def test_dbts_complaint_is_the_error(trained: Trained) -> None:
    """Something else has the table's name, as somebody's view: nothing is half-loaded."""
    trained.shop.query("drop table analytics.customer_segments cascade")
    trained.shop.query("create view analytics.customer_segments as select 1 as customer_id")
    with pytest.raises(reseed.ReseedError, match="customer_segments failed"):
        trained.reseed()
