"""No var enters SQL as it comes: each has a form, and dbt builds nothing from another one."""

import contextlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from dbt.cli.main import dbtRunner, dbtRunnerResult

from include.settings import DBT_PROJECT_DIR
from tests.dbt.dbt_project import QUICKLY, Outcome, environment, invoke, parsed

PROJECT = yaml.safe_load((DBT_PROJECT_DIR / "dbt_project.yml").read_text(encoding="utf-8"))
PAYLOADS = [
    "2019-01-01' || (select content from read_text('/proc/self/environ')) || '",
    "1; copy (select 1) to '{folder}/here.csv'; --",
    "{{{{ env_var('HOME') }}}}",
    "2019-13-01",
]


@pytest.fixture
def folder(tmp_path: Path) -> Any:
    """Where dbt writes: nothing of it lies in the project."""
    variables = {
        "DUCKDB_PATH": str(tmp_path / "shop.duckdb"),
        "DBT_TARGET_PATH": str(tmp_path / "target"),
        "DBT_LOG_PATH": str(tmp_path / "logs"),
        "DBT_PARTIAL_PARSE_FILE_PATH": str(parsed()),
    }
    with environment(**variables), contextlib.chdir(DBT_PROJECT_DIR):
        yield tmp_path


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Any:
    target = str(tmp_path_factory.mktemp("target"))
    with environment(DBT_PARTIAL_PARSE_FILE_PATH=str(parsed())), contextlib.chdir(DBT_PROJECT_DIR):
        return dbtRunner().invoke(["--quiet", "parse", "--target-path", target, "--log-path", target]).result


def check_vars(manifest: Any, given: str) -> Outcome:
    """Run the check that stands before each command, alone."""
    command = [*QUICKLY, "run-operation", "check_vars", "--vars", given]
    return invoke(dbtRunner(manifest=manifest), command)


def refusal(result: dbtRunnerResult, output: str) -> str:
    """Return what dbt said, which must be a compiler error and no more."""
    assert not result.success
    said = f"{result.exception or ''} {output}"
    assert "Compilation Error" in said
    return said


@pytest.mark.parametrize("name", PROJECT["vars"])
def test_a_var_of_another_form_is_refused_by_name(folder: Path, manifest: Any, name: str) -> None:
    for payload in PAYLOADS:
        text = payload.format(folder=folder)
        outcome = check_vars(manifest, json.dumps({name: text}))
        said = refusal(outcome.raw, outcome.output)
        assert f"The var {name} must be " in said, text
        assert text not in said, "a message goes into logs and alerts, and the value may be anything"
    assert not (folder / "here.csv").exists()


@pytest.mark.parametrize(
    "command",
    [
        ["compile"],
        ["build", "--select", "dim_products"],
        ["run-operation", "query", "--args", "{sql: select 1}"],
    ],
)
def test_every_command_refuses_before_it_does_anything(folder: Path, command: list[str]) -> None:
    outcome = invoke(dbtRunner(), [*command, "--vars", json.dumps({"start_date": PAYLOADS[0]})])
    assert "The var start_date must be " in refusal(outcome.raw, outcome.output)
    assert not (folder / "shop.duckdb").exists()


def test_a_var_that_nobody_knows_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DBT_PARTIAL_PARSE_FILE_PATH")  # else nothing is left to parse
    outcome = invoke(dbtRunner(), ["parse", "--vars", "{start_dat: 2019-01-01}"])
    assert "There is no var start_dat" in refusal(outcome.raw, outcome.output)


@pytest.mark.parametrize(
    "given",
    [
        "{}",
        "{start_date: 2019-01-01, end_date: 2019-02-01, as_of_date: 2019-12-31}",  # YAML makes dates of them
        '{start_date: "2026-01-05T10:00:00+00:00", end_date: "2026-01-05T11:00:00.123Z"}',
        "{start_date: 2026-01-05T10:00:00+00:00}",
        "{max_rejected_share: 1.0e-05, max_spend: 12.5, node_health_runs: 3}",
        "{start_date: null, max_rejected_share: '0.05'}",
    ],
)
def test_a_var_of_its_form_is_taken(folder: Path, manifest: Any, given: str) -> None:
    outcome = check_vars(manifest, given)
    assert outcome.success, outcome.output


def test_sql_takes_vars_only_through_the_check() -> None:
    """One macro calls var(); the others ask it for a day, a time or a number."""
    folders = [DBT_PROJECT_DIR / name for name in ("macros", "models", "tests", "snapshots", "seeds")]
    files = [path for folder in folders for path in folder.rglob("*") if path.suffix in {".sql", ".yml"}]
    assert len(files) > 100
    calls = [path.name for path in files if re.search(r"(?<!\w)var\(", path.read_text(encoding="utf-8"))]
    assert calls == ["checked_var.sql"]
