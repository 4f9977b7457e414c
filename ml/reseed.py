"""Seed the warehouse with the registry's current version: `analytics.customer_segments`, and `segment_model`.

The first has the segments of the training's customers; by the second each build of the marts scores everyone.

    python -m ml.reseed [--registry DIR]

Writes the seed and loads it in one task, so it works on workers without a lasting disk. dbt
loads it from a copy of the project: its own folder may be read-only, and two runs cannot mix their files.
"""

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import typer
from rich.console import Console

from include.dbt_with_parent import DBT_WITH_PARENT
from include.orchestration.dbt_manifest import options_of_the_parse
from include.settings import DBT_PROJECT_DIR, Settings, get_settings, run_command, uses_airflow_connection
from include.warehouse import Warehouse, get_warehouse
from ml.registry import Current, Registry, RegistryError, open_registry
from ml.seed import MODEL_COLUMNS, MODEL_SEED, SEED, SEEDS
from ml.segmentation import SegmentationError, model_table

log = logging.getLogger(__name__)

SCHEMA = "analytics"
TABLE = f"{SCHEMA}.{SEED}"
# `dbt seed` sends rows as text, some thousand a second; beyond this, rows go in through the bulk loader.
MAX_SEED_ROWS = 50_000
NOT_COPIED = shutil.ignore_patterns(
    "target", "logs", "dbt_packages", ".user.yml", *(f"{one}.csv" for one in SEEDS)
)


class ReseedError(Exception):
    """The segments were not loaded; the message says why."""


@dataclass(frozen=True)
class Reseeded:
    """The version that the warehouse now has, and its number of customers."""

    version: str
    customers: int


def reseed(
    location: str = "", settings: Settings | None = None, max_seed_rows: int = MAX_SEED_ROWS
) -> Reseeded:
    """Load the current version's segments into TABLE and test them; a second call changes nothing.

    `location` is that of open_registry. Raises RegistryError where no version is current or its files are
    damaged, and ReseedError where dbt fails; the old rows then stay.
    """
    settings = settings or get_settings()
    registry = open_registry(location)
    current = registry.current()
    if current is None:
        raise RegistryError("No version of the segments is current: train one first.")
    segments = registry.segments(current.version).assign(model_version=current.version)
    tables = {SEED: segments, MODEL_SEED: _models(registry, current)}
    with _project_copy(tables) as project:
        if len(segments) <= max_seed_rows:
            _dbt("build", project, settings)
        else:
            _load_in_bulk(tables, get_warehouse(settings, "transformer"))
            _dbt("test", project, settings)
    for seed, table in tables.items():
        _keep_for_dbt_users(table, settings.segments_seed_file.with_name(f"{seed}.csv"), SEEDS[seed])
    log.info("%s holds the %d customers of version %s.", TABLE, len(segments), current.version)
    return Reseeded(current.version, len(segments))


def _models(registry: Registry, current: Current) -> pd.DataFrame:
    """Return the rows of the seed segment_model: the version in use, and the one before if it can be read."""
    tables = [model_table(registry.model(current.version), current.version, "in_use")]
    for version in current.earlier[:1]:
        try:
            tables.append(model_table(registry.model(version), version, "before"))
        except (RegistryError, SegmentationError) as error:
            log.warning("Moves by the model cannot be told from others: %s", error)
    return pd.concat(tables, ignore_index=True)[list(MODEL_COLUMNS)]


@contextmanager
def _project_copy(tables: Mapping[str, pd.DataFrame]) -> Iterator[Path]:
    with TemporaryDirectory(prefix="reseed-") as folder:
        project = Path(folder) / "dbt"
        shutil.copytree(DBT_PROJECT_DIR, project, ignore=NOT_COPIED)
        for seed, table in tables.items():
            table.to_csv(project / "seeds" / f"{seed}.csv", columns=list(SEEDS[seed]), index=False)
        yield project


def _dbt(command: str, project: Path, settings: Settings) -> None:
    """Run dbt on the seeds and the tests that need nothing but them."""
    chosen = {"WAREHOUSE": settings.warehouse, "DUCKDB_PATH": str(settings.duckdb_path)}
    options = options_of_the_parse(settings.warehouse)
    with _profiles(project, settings) as (profiles, secrets):
        _run_dbt([command, *options], project, profiles, {**chosen, **secrets})


@contextmanager
def _profiles(project: Path, settings: Settings) -> Iterator[tuple[Path, dict[str, str]]]:
    """Yield the folder of dbt's profiles.yml, and the variables that it names."""
    if not uses_airflow_connection(settings):
        yield project, {}
        return
    from include.orchestration.dbt_profile import dbt_profile  # noqa: PLC0415 (Airflow and Cosmos, for Airflow's connection)

    with dbt_profile(settings).ensure_profile() as (file, secrets):
        yield file.parent, secrets


def _run_dbt(command: list[str], project: Path, profiles: Path, variables: dict[str, str]) -> None:
    own = {"project-dir": project, "profiles-dir": profiles, "target-path": "target", "log-path": "logs"}
    quick = ("--quiet", "--no-write-json", "--log-level-file", "none")
    argv = [sys.executable, str(DBT_WITH_PARENT), *quick, *command, "--select", *SEEDS]
    argv += ["--indirect-selection", "cautious"]
    argv += [f"--{name}={value}" for name, value in own.items()]  # whatever the user's DBT_* variables say
    env = {**os.environ, **variables, "DBT_SEND_ANONYMOUS_USAGE_STATS": "False"}
    result = subprocess.run(  # noqa: S603
        argv, cwd=project, env=env, capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        raise ReseedError(f"dbt {command[0]} of {SEED} failed:\n{result.stdout}{result.stderr}".rstrip())


def _load_in_bulk(tables: Mapping[str, pd.DataFrame], warehouse: Warehouse) -> None:
    """Replace the tables' rows in one transaction."""
    with warehouse.session() as session:
        session.create_schema(SCHEMA)
        for seed, columns in SEEDS.items():
            types = ", ".join(f"{name} {kind}" for name, kind in columns.items())
            session.execute(f"create table if not exists {SCHEMA}.{seed} ({types})")
        with session.transaction():
            for seed, columns in SEEDS.items():
                session.execute(f"delete from {SCHEMA}.{seed}")  # noqa: S608 (our name)
                rows = {name: tables[seed][name].tolist() for name in columns}
                session.insert_rows(f"{SCHEMA}.{seed}", rows)


def _keep_for_dbt_users(table: pd.DataFrame, path: Path, columns: Mapping[str, str]) -> None:
    """Write the project's own seed too, so that `dbt seed` and `dbt build` by hand load the same."""
    if not os.access(path.parent, os.W_OK):
        log.warning("%s cannot be written: there, `dbt seed` would load other segments.", path)
        return
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    table.to_csv(draft, columns=list(columns), index=False)
    draft.replace(path)


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    registry: str = typer.Option("", help="Folder or URI of the registry; default: ML_REGISTRY."),
) -> None:
    """Load the current version's segments into the warehouse; then build `tag:segment_marts` with dbt."""
    console = Console(highlight=False)
    try:
        done = reseed(registry)
    except (RegistryError, ReseedError) as error:
        console.print(str(error), soft_wrap=True, markup=False)
        raise typer.Exit(1) from error
    console.print(f"{TABLE}: {done.customers:,} customers, version {done.version}", soft_wrap=True)


if __name__ == "__main__":
    run_command(app)
