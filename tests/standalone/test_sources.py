"""Which files `make up`, `demo` and `build` use, and what becomes of a warehouse that holds others."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from include.ingestion.datasets import DATASETS
from include.ingestion.loader import ingest
from include.ingestion.origin import MARKER
from include.settings import PROJECT_ROOT, Settings
from include.warehouse.duckdb import DuckDBWarehouse
from standalone.__main__ import _with_source
from standalone.environment import airflow_environment, sample_data_dir
from standalone.sample_data.generator import generate
from standalone.sources import SourceError, make_room, recall, remember


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in ("DUCKDB_PATH", "SOURCE_LOCATION", "DATA_DIR", "ML_REGISTRY", "REPLACE", "WAREHOUSE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LOCAL_DIR", str(tmp_path / "local"))
    return Settings()


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A shop's own files."""
    folder = tmp_path / "shop"
    generate(folder)
    (folder / MARKER).unlink()
    return folder


@pytest.fixture
def fill(settings: Settings) -> Callable[[Path], DuckDBWarehouse]:
    def fill(folder: Path) -> DuckDBWarehouse:
        warehouse = DuckDBWarehouse(settings.duckdb_path)
        for dataset in DATASETS:
            ingest(warehouse, str(folder), dataset)
        return warehouse

    return fill


def test_the_first_time_files_are_generated(settings: Settings) -> None:
    assert _with_source(settings, "", 1, False).source_location == str(sample_data_dir(settings))


def test_the_last_source_is_remembered(settings: Settings, shop: Path) -> None:
    _with_source(settings, str(shop), 1, False)
    assert _with_source(settings, "", 1, False).source_location == str(shop)
    assert airflow_environment(settings, {})["SOURCE_LOCATION"] == str(shop)


def test_each_warehouse_has_its_own_source(settings: Settings, tmp_path: Path) -> None:
    remember(settings, "s3://conn@bucket/shop")
    other = settings.model_copy(update={"duckdb_path": tmp_path / "other.duckdb"})
    assert recall(other) == ""
    assert recall(settings) == "s3://conn@bucket/shop"


@pytest.mark.parametrize("how", [("generated", 1), ("", 2)], ids=["by the word", "by a scale"])
def test_real_data_is_not_overwritten_by_generated(
    settings: Settings, shop: Path, fill: Callable[[Path], DuckDBWarehouse], how: tuple[str, int]
) -> None:
    fill(shop)
    _with_source(settings, str(shop), 1, False)
    with pytest.raises(SourceError) as error:
        _with_source(settings, *how, False)
    assert str(shop) in str(error.value)
    assert str(sample_data_dir(settings, how[1])) in str(error.value)
    assert "REPLACE=1" in str(error.value)
    assert recall(settings) == str(shop)


def test_replace_sets_the_old_warehouse_aside_and_loses_nothing(
    settings: Settings, shop: Path, fill: Callable[[Path], DuckDBWarehouse]
) -> None:
    with fill(shop).session() as session:
        before = session.execute("select * from raw.customers order by all")
    versions = settings.local_dir / "segments" / "versions"
    versions.mkdir(parents=True)
    _with_source(settings, "generated", 1, True)
    assert not settings.duckdb_path.exists()
    assert not versions.exists()
    (registry,) = settings.local_dir.glob("segments.replaced-*")
    assert (registry / "versions").exists()
    (aside,) = settings.duckdb_path.parent.glob("*.replaced-*")
    with DuckDBWarehouse(aside).session() as session:
        assert session.execute("select * from raw.customers order by all") == before


def test_replacing_a_warehouse_elsewhere_leaves_the_registry_in_use(
    settings: Settings, shop: Path, fill: Callable[[Path], DuckDBWarehouse], tmp_path: Path
) -> None:
    fill(shop)
    elsewhere = settings.model_copy(update={"duckdb_path": tmp_path / "mine.duckdb"})
    settings.duckdb_path.rename(elsewhere.duckdb_path)
    versions = settings.local_dir / "segments" / "versions"
    versions.mkdir(parents=True)
    _with_source(elsewhere, "generated", 1, True)
    assert not elsewhere.duckdb_path.exists()
    assert versions.exists()


def test_replace_keeps_a_warehouse_of_the_same_kind(
    settings: Settings, shop: Path, fill: Callable[[Path], DuckDBWarehouse]
) -> None:
    fill(shop)
    assert make_room(settings, str(shop), replace=True) is None
    assert settings.duckdb_path.exists()


def test_the_command_line_says_it_in_one_sentence(
    settings: Settings, shop: Path, fill: Callable[[Path], DuckDBWarehouse]
) -> None:
    fill(shop)
    environment = {**os.environ, "DATA_DIR": "generated", "FEEDS": "none"}
    for command in ("up", "demo", "build"):
        done = subprocess.run(
            [sys.executable, "-m", "standalone", command],
            cwd=PROJECT_ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert done.stderr.startswith(
            f"The warehouse holds files of a shop ({shop}), and these are generated"
        )
        assert len(done.stderr.splitlines()) == 1
