"""The dbt project in both dialects, without a warehouse: it parses, and its SQL is Snowflake's.

What needs a warehouse (incremental runs, snapshots, hooks) is checked in tests/e2e/test_snowflake.py.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from include.settings import DBT_PROJECT_DIR
from tests.dbt.statements import complaints

# With a range nothing asks the database whether fct_sales exists. The same for each command: dbt parses again
# when vars change.
RANGE = '{start_date: "2019-01-01", end_date: "2019-02-01"}'

Dbt = Callable[..., Path]


@pytest.fixture(scope="module")
def dbt(tmp_path_factory: pytest.TempPathFactory) -> Dbt:
    """Return a function that runs dbt for a target, without credentials, and returns its target folder."""

    def run(warehouse: str, *arguments: str) -> Path:
        folder = tmp_path_factory.getbasetemp() / f"dbt-{warehouse}"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SNOWFLAKE_")}
        environment |= {
            "WAREHOUSE": warehouse,
            "DUCKDB_PATH": str(folder / "none.duckdb"),
            "DBT_TARGET_PATH": str(folder / "target"),
            "DBT_LOG_PATH": str(folder / "logs"),
        }
        command = [str(Path(sys.executable).with_name("dbt")), *arguments, "--vars", RANGE]
        done = subprocess.run(
            command, cwd=DBT_PROJECT_DIR, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
        return folder / "target"

    return run


@pytest.mark.parametrize("warehouse", ["duckdb", "snowflake"])
def test_the_project_parses_without_credentials(dbt: Dbt, warehouse: str) -> None:
    assert (dbt(warehouse, "parse") / "manifest.json").is_file()


def test_compiled_models_and_tests_are_snowflakes_sql(dbt: Dbt) -> None:
    target = dbt("snowflake", "compile", "--no-introspect", "--no-populate-cache")

    compiled = sorted((target / "compiled").rglob("*.sql"))

    assert len(compiled) > 100
    assert complaints(file.read_text(encoding="utf-8") for file in compiled) == []


def test_complaints_are_made() -> None:
    assert len(complaints(["selec 1 from (", "select try_strptime(a, ['%Y']) from t group having"])) >= 2
