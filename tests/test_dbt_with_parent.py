"""A dbt that a task started ends with the task, even a killed one, and parses no more than it must."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import yaml

from include.dbt_with_parent import DBT_WITH_PARENT, PARSED_VARS
from include.settings import DBT_PROJECT_DIR
from tests.dbt.dbt_project import WAREHOUSE, Project, make_project, run_dbt
from tests.warehouse.locks import locked

# As Cosmos runs dbt in an Airflow task, in a session of its own.
TASK = """
import sys
from cosmos.hooks.subprocess import FullOutputSubprocessHook
FullOutputSubprocessHook().run_command(sys.argv[2:], cwd=sys.argv[1])
"""


def test_a_killed_task_takes_its_dbt_with_it(tmp_path: Path) -> None:
    path = tmp_path / "shop.duckdb"
    dbt = [str(DBT_WITH_PARENT), "--log-path", str(tmp_path), "debug", "--target", "duckdb"]
    with locked(path):  # dbt waits for minutes
        task = subprocess.Popen(
            [sys.executable, "-c", TASK, str(DBT_PROJECT_DIR), *dbt],
            env={
                **os.environ,
                "DUCKDB_PATH": str(path),
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            },
        )
        log = tmp_path / "dbt.log"
        while not (log.exists() and "Acquiring new duckdb connection" in log.read_text()):
            assert task.poll() is None, "the task ended by itself"
            time.sleep(0.1)
        [child] = psutil.Process(task.pid).children()

        task.send_signal(signal.SIGKILL)
        task.wait()

        psutil.wait_procs([child], timeout=300)
        assert not child.is_running()


def test_it_is_dbt_and_gives_its_exit_code(tmp_path: Path) -> None:
    command = [sys.executable, str(DBT_WITH_PARENT), "--log-path", str(tmp_path)]

    shown = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
    wrong = subprocess.run([*command, "no-such-command"], capture_output=True, text=True, check=False)

    assert "duckdb" in shown.stdout
    assert wrong.returncode == 2


def test_the_manifest_that_a_run_leaves_has_what_was_run(tmp_path: Path) -> None:
    """Also what is newer than the last `make manifest`: the tasks of the nodes look their tests up there."""
    project = make_project(tmp_path / "tree")
    (project.directory / "tests" / "nobody.sql").write_text("select 1 as n where false", encoding="utf-8")

    run_dbt(project, "test", "--select", "nobody", DUCKDB_PATH=str(tmp_path / WAREHOUSE))

    manifest = json.loads((project.directory / "target" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["nodes"]["test.marketing_insights.nobody"]["compiled_code"] == "select 1 as n where false"


OF_THE_PARSE = {"created_at", "root_path", "refs"}  # depends_on has the refs, each once
PARSES_ALL = "Unable to do partial parsing"


def listed(project: Project, warehouse: Path, variables: dict[str, str]) -> str:
    """Return what dbt says when it lists a model, with a warehouse elsewhere."""
    command = ("ls", "--select", "fct_sales", "--vars", json.dumps(variables))
    return run_dbt(project, *command, DUCKDB_PATH=str(warehouse / WAREHOUSE))


def test_a_run_of_other_days_in_another_file_starts_from_the_parse_that_is_there(tmp_path: Path) -> None:
    project = make_project(tmp_path / "tree")
    days = {"start_date": "2019-03-01", "end_date": "2019-03-02", "dry_run": "False"}
    assert PARSES_ALL not in listed(project, tmp_path / "days", days)
    assert PARSES_ALL in listed(project, tmp_path / "dry", {"dry_run": "True"})


def test_no_other_var_and_no_place_of_the_file_decides_what_a_node_is(tmp_path: Path) -> None:
    """Else a run would build the nodes of another run's vars: configs and what a node depends on."""
    project = make_project(tmp_path / "tree")
    usual = parse(project, tmp_path / "here" / WAREHOUSE, {})
    given = yaml.safe_load((DBT_PROJECT_DIR / "dbt_project.yml").read_text(encoding="utf-8"))["vars"]
    others = {
        name: "2019-03-01" if name.endswith("_date") else str(value * 2)
        for name, value in given.items()
        if name not in PARSED_VARS
    }
    (project.directory / "target" / "partial_parse.msgpack").unlink()
    assert len(others) > 15
    assert parse(project, tmp_path / "elsewhere" / WAREHOUSE, others) == usual


def parse(project: Project, warehouse: Path, variables: dict[str, str]) -> dict[str, Any]:
    """Return what dbt reads of the project, without when and where it did so."""
    manifest = replace(project, warehouse=warehouse).dbt("parse", **variables).raw.result.to_dict()
    kinds = ("nodes", "sources", "macros", "exposures", "metrics", "semantic_models", "unit_tests")
    nodes = {name: node for kind in kinds for name, node in manifest[kind].items()}
    return {name: {key: node[key] for key in node if key not in OF_THE_PARSE} for name, node in nodes.items()}
