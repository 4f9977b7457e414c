"""A dbt that a task started ends with the task, even where that is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from include.dbt_with_parent import DBT_WITH_PARENT
from include.settings import DBT_PROJECT_DIR
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
