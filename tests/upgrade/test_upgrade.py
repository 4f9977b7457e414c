"""The warehouse of the previous release under today's code: nothing is lost, nothing is rebuilt.

CONTRIBUTING.md says how the next release's file is made.
"""

import lzma
import re
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

from include.ingestion.datasets import DATASETS
from include.ingestion.loader import create_tables
from include.settings import PROJECT_ROOT
from include.warehouse.duckdb import DuckDBWarehouse
from tests.dbt.dbt_project import WITHOUT_TESTS, Project, Rows, make_project, write

FILES = {
    Version(path.name.removeprefix("warehouse-").removesuffix(".duckdb.xz")): path
    for path in Path(__file__).parent.glob("*.xz")
}
PREVIOUS = max(FILES)
BUILT_WHEN = {"processed_at", "updated_at", "dbt_updated_at"}  # may change in a row whose content does not


RENAMED = {"analytics.fct_marketing_performance_daily": {"new_customer_count": "first_seen_customer_count"}}

Columns = dict[str, list[str]]


def columns_of(project: Project) -> Columns:
    """Return the columns of each table, without those that say when a row was built."""
    tables = project.query(
        "select table_schema || '.' || table_name, list(column_name order by ordinal_position)"
        " from information_schema.columns join information_schema.tables"
        " using (table_catalog, table_schema, table_name) where table_type = 'BASE TABLE' group by all"
    )
    return {
        table: [name for name in columns if name not in BUILT_WHEN]
        for table, columns in tables
        if table != "raw.dbt_run_results"  # grows with each run
    }


def contents(project: Project, columns: Columns) -> dict[str, Rows]:
    """Return the rows of each table, of these columns."""
    return {
        table: project.query(f"select {', '.join(names)} from {table} order by all")
        for table, names in columns.items()
    }


@pytest.fixture(scope="module")
def known(project: Project) -> Columns:
    """What the release knew."""
    return columns_of(project)


@pytest.fixture(scope="module")
def before(project: Project, known: Columns) -> dict[str, Rows]:
    return contents(project, known)


@pytest.fixture(scope="module")
def built(project: Project) -> dict[Any, Any]:
    """When each order line was built."""
    return dict(project.query("select sales_line_id, processed_at from analytics.fct_sales"))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Today's dbt project on the previous release's warehouse."""
    one = make_project(tmp_path_factory.mktemp("upgrade"))
    one.warehouse.parent.mkdir(parents=True)
    one.warehouse.write_bytes(lzma.decompress(FILES[PREVIOUS].read_bytes()))
    return one


@pytest.fixture(scope="module")
def upgraded(project: Project, before: dict[str, Rows], built: dict[Any, Any]) -> Project:
    """After what ingestion does first, and one `dbt build` as typed; `before` and `built` come first.

    The seed holds the segments in use, as docs/upgrading.md asks; a new checkout's is empty.
    """
    seed = project.directory / "seeds" / "customer_segments.csv"
    columns = ("customer_id", "segment_id", "segment_name", "model_version")
    in_use = project.query(f"select {', '.join(columns)} from analytics.customer_segments")
    write(seed, [dict(zip(columns, map(str, row), strict=True)) for row in in_use])
    with DuckDBWarehouse(project.warehouse).session() as session:
        for dataset in DATASETS.values():
            create_tables(session, dataset)
    outcome = project.dbt_as_typed("build", *WITHOUT_TESTS)
    assert outcome.success, outcome.output[-3000:]
    return project


def test_the_file_is_that_of_the_newest_release() -> None:
    changelog = (PROJECT_ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert str(PREVIOUS) == re.findall(r"^## (\d+\.\d+\.\d+)", changelog, re.MULTILINE)[0]


def test_no_row_is_lost_or_changed(upgraded: Project, known: Columns, before: dict[str, Rows]) -> None:
    now = {
        table: [RENAMED.get(table, {}).get(name, name) for name in names] for table, names in known.items()
    }
    assert len(before) >= 25
    assert contents(upgraded, now) == before


def test_facts_without_a_hash_are_built_once(upgraded: Project, built: dict[Any, Any]) -> None:
    """The first run replaces them, with all new columns filled; the next finds nothing to do."""
    when = "select sales_line_id, processed_at from analytics.fct_sales"
    first: dict[str, Any] = dict(upgraded.query(when))
    assert first.keys() == built.keys()
    assert upgraded.query("select count(*) from analytics.fct_sales where gst_rate is null") == [(0,)]

    assert upgraded.dbt_as_typed("run", "--select", "fct_sales").success

    assert dict(upgraded.query(when)) == first


def test_new_tables_are_there_and_know_the_past(upgraded: Project) -> None:
    """Each model of today has its table; the runs of the release before count in the nodes' health."""
    models = {path.stem for path in (upgraded.directory / "models").rglob("*.sql")}
    tables = {name for (name,) in upgraded.query("select table_name from information_schema.tables")}
    assert models <= tables
    [(runs,)] = upgraded.query(
        "select run_count from analytics.fct_dbt_node_health"
        " where node_id = 'model.marketing_insights.stg_news'"
    )
    assert runs == 2


def test_a_column_that_a_release_adds_to_the_facts_appears_without_a_full_refresh(upgraded: Project) -> None:
    """Its contents count as a change, so the next run fills it in every row."""
    model = upgraded.directory / "models" / "marts" / "sales" / "fct_sales.sql"
    described = model.with_suffix(".yml")
    with_channel = "        'x' as channel,\n        source_loaded_at\n"
    model.write_text(model.read_text().replace("        source_loaded_at\n", with_channel))
    described.write_text(
        described.read_text().replace(
            "      - name: sale_size_category\n",
            "      - name: channel\n        data_type: varchar\n      - name: sale_size_category\n",
        )
    )
    kept = "select * exclude (channel, row_hash, processed_at) from analytics.fct_sales order by 1"
    before = upgraded.query(kept.replace("channel, ", ""))

    outcome = upgraded.dbt_as_typed("run", "--select", "fct_sales")

    assert outcome.success, outcome.output[-3000:]
    assert upgraded.query(kept) == before
    [(filled, lines)] = upgraded.query("select count(channel), count(*) from analytics.fct_sales")
    assert filled == lines > 100
