"""SQL that dbt runs, a user's own query included, reaches no file, host or extension beside the warehouse."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dbt.cli.main import dbtRunner

from include.settings import DBT_PROJECT_DIR
from tests.dbt.dbt_project import environment, invoke, parsed


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Any:
    target = str(tmp_path_factory.mktemp("target"))
    with environment(DBT_PARTIAL_PARSE_FILE_PATH=str(parsed())), contextlib.chdir(DBT_PROJECT_DIR):
        return dbtRunner().invoke(["--quiet", "parse", "--target-path", target, "--log-path", target]).result


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    variables = {
        "DUCKDB_PATH": str(tmp_path / "here" / "shop.duckdb"),
        "DBT_TARGET_PATH": str(tmp_path / "here" / "target"),
        "DBT_LOG_PATH": str(tmp_path / "here" / "logs"),
        "SECRET_OF_THE_TEST": "hunter2",
        "DUCKDB_BUILD_MEMORY": "1GiB",
    }
    (tmp_path / "here").mkdir()
    with environment(**variables), contextlib.chdir(DBT_PROJECT_DIR):
        yield tmp_path


@pytest.mark.parametrize(
    "sql",
    [
        "select content from read_text('/proc/self/environ')",
        "copy (select 1 as a) to '{folder}/written.py'",
        "select 1; copy (select 1 as a) to '{folder}/written.py'",
        "attach '{folder}/attached.duckdb'",
        "install httpfs",
        "set enable_external_access = true",
        "set allowed_configs = ['enable_external_access']",
        "set lock_configuration = false",
    ],
)
def test_a_query_reaches_nothing_outside_the_warehouse(folder: Path, manifest: Any, sql: str) -> None:
    arguments = json.dumps({"sql": sql.format(folder=folder)})
    outcome = invoke(dbtRunner(manifest=manifest), ["run-operation", "query", "--args", arguments])
    said = f"{outcome.output} {outcome.raw.exception or ''}"
    assert not outcome.success
    assert "disabled by configuration" in said or "has been locked" in said
    assert "hunter2" not in said
    assert [path.name for path in folder.iterdir()] == ["here"]


def test_a_query_still_uses_the_warehouse_in_utc_and_the_memory_it_may(folder: Path, manifest: Any) -> None:
    settings = "(current_setting('TimeZone'), current_setting('memory_limit'))"
    query = f"select case when {settings} <> ('UTC', '1.0 GiB') then error('other settings') end"
    outcome = invoke(
        dbtRunner(manifest=manifest), ["run-operation", "query", "--args", json.dumps({"sql": query})]
    )
    assert outcome.success, outcome.output
