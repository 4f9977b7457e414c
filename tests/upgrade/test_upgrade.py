"""The warehouse of the previous release under today's code: nothing is lost, nothing is built anew.

CONTRIBUTING.md says how the next release's file is made.
"""

import lzma
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.version import Version

from include.settings import PROJECT_ROOT
from tests.dbt.dbt_project import WITHOUT_TESTS, Project, Rows, make_project

FILES = {
    Version(path.name.removeprefix("warehouse-").removesuffix(".duckdb.xz")): path
    for path in Path(__file__).parent.glob("*.xz")
}
PREVIOUS = max(FILES)
BUILT_WHEN = {"processed_at", "updated_at", "dbt_updated_at"}  # may change in a row whose content does not


def contents(project: Project) -> dict[str, Rows]:
    """Return the rows of each table, without when they were built."""
    tables = project.query(
        "select table_schema || '.' || table_name, list(column_name order by ordinal_position)"
        " from information_schema.columns join information_schema.tables"
        " using (table_catalog, table_schema, table_name) where table_type = 'BASE TABLE' group by all"
    )
    kept = {
        table: ", ".join(name for name in columns if name not in BUILT_WHEN)
        for table, columns in tables
        if table != "raw.dbt_run_results"  # grows with each run
    }
    return {
        table: project.query(f"select {columns} from {table} order by all") for table, columns in kept.items()
    }


@pytest.fixture(scope="module")
def before(project: Project) -> dict[str, Rows]:
    return contents(project)


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
    """After one `dbt build` as a person types it; `before` and `built` come first.

    The seed holds the segments in use, as docs/upgrading.md asks; a new checkout's is empty.
    """
    seed = project.directory / "seeds" / "customer_segments.csv"
    project.query(f"copy analytics.customer_segments to '{seed}' (header)")
    outcome = project.dbt_as_typed("build", *WITHOUT_TESTS)
    assert outcome.success, outcome.output[-3000:]
    return project


def test_the_file_is_that_of_the_newest_release() -> None:
    changelog = (PROJECT_ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert str(PREVIOUS) == re.findall(r"^## (\d+\.\d+\.\d+)", changelog, re.MULTILINE)[0]


def test_no_row_is_lost_or_changed(upgraded: Project, before: dict[str, Rows]) -> None:
    after = contents(upgraded)
    assert len(before) >= 25
    assert {table: after.get(table) for table in before} == before


def test_old_facts_are_not_built_again(upgraded: Project, built: dict[Any, Any]) -> None:
    """All but those of the days that every run builds again."""
    lookback = yaml.safe_load((upgraded.directory / "dbt_project.yml").read_text())["vars"]["lookback_days"]
    rows = upgraded.query("select sales_line_id, transaction_date, processed_at from analytics.fct_sales")
    newest = max(day for _, day, _ in rows)
    old = {line: moment for line, day, moment in rows if day < newest - timedelta(days=lookback)}
    assert len(old) > 100
    assert old == {line: built[line] for line in old}


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
    """It is empty in rows that no run builds again, until a range is given."""
    model = upgraded.directory / "models" / "marts" / "sales" / "fct_sales.sql"
    described = model.with_suffix(".yml")
    with_channel = "    'x' as channel,\n    source_loaded_at,"
    model.write_text(model.read_text().replace("    source_loaded_at,", with_channel))
    described.write_text(
        described.read_text().replace(
            "      - name: sale_size_category\n",
            "      - name: channel\n        data_type: varchar\n      - name: sale_size_category\n",
        )
    )
    kept = "select * exclude (channel) replace (null as processed_at) from analytics.fct_sales order by 1"
    before = upgraded.query(kept.replace(" exclude (channel)", ""))

    outcome = upgraded.dbt_as_typed("run", "--select", "fct_sales")

    assert outcome.success, outcome.output[-3000:]
    assert upgraded.query(kept) == before
    [(filled, empty)] = upgraded.query(
        "select count(channel), count(*) - count(channel) from analytics.fct_sales"
    )
    assert filled > 0
    assert empty > 100
