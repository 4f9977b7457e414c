"""dbt's docs and state, made from generated files; and the build of just the models that differ from a state.

A state is a folder with `manifest.json`, the DuckDB file that it describes, and the docs. CI keeps the main
branch's and builds a change against it.
"""

import shutil
import subprocess
from pathlib import Path

from include.ingestion.datasets import DATASETS
from include.ingestion.loader import ingest
from include.settings import DBT_PROJECT_DIR, Settings
from include.warehouse.duckdb import DuckDBWarehouse
from standalone.environment import VENV_BIN, airflow_environment, sample_data_dir
from standalone.errors import StandaloneError
from standalone.sample_data.generator import generate

WAREHOUSE = "marketing_insights.duckdb"  # the file's name is the database's name in a manifest


class StateError(StandaloneError):
    """There is no state to compare with, or dbt failed; the message says which and, where known, why."""


def make_state(settings: Settings, state: Path, project: Path = DBT_PROJECT_DIR) -> None:
    """Load generated files into a new DuckDB file in `state`, build all of dbt on it, add manifest and docs.

    Raises StateError if dbt fails, which has then said why.
    """
    shutil.rmtree(state, ignore_errors=True)
    files = sample_data_dir(settings)
    generate(files)
    for dataset in DATASETS:
        ingest(DuckDBWarehouse(state / WAREHOUSE), str(files), dataset)
    _dbt(settings, project, ["build"], state)
    _dbt(settings, project, ["docs", "generate", "--static"], state)


def build_changes(settings: Settings, state: Path, project: Path = DBT_PROJECT_DIR) -> None:
    """Build and test what differs from the state's manifest, and all that depends on it.

    In a copy of the state's warehouse, which has everything else as it was: an incremental model meets rows
    there, as it does in production. Raises StateError.
    """
    if not (state / "manifest.json").is_file():
        raise StateError(f"{state} has no manifest.json: run `make state` on the branch to compare with")
    copy = settings.local_dir / "slim"
    copy.mkdir(parents=True, exist_ok=True)
    shutil.copy(state / WAREHOUSE, copy / WAREHOUSE)
    select = ["--select", "state:modified+", "--defer", "--state", str(state.resolve())]
    _dbt(settings, project, ["build", *select], copy)


def _dbt(settings: Settings, project: Path, command: list[str], folder: Path) -> None:
    """Run dbt on the folder's warehouse, its output on ours; Airflow's own manifest stays as it is."""
    own = settings.model_copy(update={"warehouse": "duckdb", "duckdb_path": (folder / WAREHOUSE).resolve()})
    argv = [str(VENV_BIN / "dbt"), *command, "--target-path", str(folder.resolve())]
    env = {**airflow_environment(own), "WAREHOUSE": own.warehouse}
    result = subprocess.run(argv, cwd=project, env=env, check=False)  # noqa: S603
    if result.returncode != 0:
        raise StateError(f"dbt {command[0]} failed with exit code {result.returncode}")
