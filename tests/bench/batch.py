"""The batch product: ingestion, dbt and Airflow against the same work done plainly."""

import os
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median

import duckdb

from include.ingestion.datasets import DATASETS
from include.ingestion.loader import ingest
from include.orchestration.dbt_task_group import OF_OTHER_DAGS
from include.settings import DBT_PROJECT_DIR, PROJECT_ROOT, Settings
from include.warehouse import get_warehouse
from standalone.environment import VENV_BIN, airflow_environment
from standalone.sample_data.generator import generate
from standalone.stack import Stack
from tests.bench.measure import GIB, Ratio, peak_memory, quietly, seconds, settings_in

INGEST = """
import sys
from include.ingestion.loader import ingest
from include.warehouse import get_warehouse
for name in sys.argv[2:]:
    ingest(get_warehouse(), sys.argv[1], name)
"""


def bench_ingestion(folder: Path, scale: int = 20, rounds: int = 5) -> Iterator[Ratio]:
    """Order lines into the raw table, against a bare DuckDB read of the same file into a table."""
    data = folder / "data"
    generate(data, scale)
    ours, bare = [], []
    for number in range(rounds):  # taken in turns, so that a slow moment of the machine meets both
        database = folder / f"bare-{number}.duckdb"
        bare.append(seconds(partial(_bare_read, data / "Online_Sales.csv", database)))
        warehouse = get_warehouse(settings_in(folder / f"ours-{number}"))
        ours.append(seconds(partial(ingest, warehouse, str(data), "online_sales")))
    yield Ratio(
        f"ingestion / bare DuckDB read, SCALE={scale}",
        median(ours) / median(bare),
        1.25,
        at_most=True,
        detail=f"{median(ours):.2f} s / {median(bare):.2f} s, median of {rounds}",
        goal=1.1,
    )


def _bare_read(file: Path, database: Path) -> None:
    with duckdb.connect(str(database)) as connection:
        connection.execute("create table sales as select * from read_csv(?, all_varchar = true)", [str(file)])


def bench_scale(folder: Path, scale: int = 100) -> Iterator[Ratio]:
    """Ingestion and `dbt build` from nothing, at SCALE=1 and, in less memory, at SCALE=`scale`."""
    small, _ = _full_build(folder / "small", 1)
    large, peak = _full_build(folder / "large", scale, DUCKDB_BUILD_MEMORY="3500MB")
    yield Ratio(
        f"ingestion + dbt build, SCALE={scale} / SCALE=1",
        large / small,
        15,
        at_most=True,
        detail=f"{large:.1f} s / {small:.1f} s",
    )
    yield Ratio(f"peak memory at SCALE={scale}, GiB", peak / GIB, 4, at_most=True, detail="of one process")


def _full_build(folder: Path, scale: int, **variables: str) -> tuple[float, int]:
    """Return wall-clock seconds and the peak memory, in bytes, of ingestion and `dbt build`."""
    generate(folder / "data", scale)
    settings = settings_in(folder)
    with peak_memory() as peak:
        taken = seconds(lambda: plain_run(settings, folder / "data", **variables))
    return taken, peak[0]


def plain_run(settings: Settings, data: Path, **variables: str) -> None:
    """Ingest and build as a user without Airflow would: one process each."""
    env = airflow_environment(settings) | variables
    quietly([sys.executable, "-c", INGEST, str(data), *DATASETS], env, PROJECT_ROOT)
    target = settings.local_dir / "target"
    build = [str(VENV_BIN / "dbt"), "--log-path", str(target), "build", "--target-path", str(target)]
    # As the DAG does: a seed of segments that is there may be of another shop.
    left_out = ["--exclude-resource-type", "unit_test", "--exclude", *OF_OTHER_DAGS]
    quietly([*build, *left_out], env, DBT_PROJECT_DIR)


def bench_airflow(folder: Path, rounds: int = 3, *, with_local: bool = False) -> Iterator[Ratio]:
    """A run of the whole DAG, against the same work without Airflow, and against Cosmos in LOCAL mode."""
    data = folder / "data"
    generate(data)
    settings = settings_in(folder).model_copy(
        update={"source_location": str(data), "pipeline_schedule": "none"}
    )
    plain_run(settings, data)
    plain = median(seconds(lambda: plain_run(settings, data)) for _ in range(rounds))
    watcher = median(_dag_runs(settings, "marketing_pipeline", PROJECT_ROOT / "dags", rounds + 1)[1:])
    yield Ratio(
        "DAG run / plain ingestion + dbt build",
        watcher / plain,
        1.8,
        at_most=True,
        detail=f"{watcher:.1f} s / {plain:.1f} s, median of {rounds}",
        goal=1.5,
    )
    if not with_local:
        return
    local = median(_dag_runs(settings, "marketing_pipeline_local", Path(__file__).parent / "dags", 1))
    yield Ratio(
        "DAG run in LOCAL mode / DAG run",
        local / watcher,
        4,
        at_most=False,
        detail=f"{local:.1f} s / {watcher:.1f} s",
    )


def _dag_runs(settings: Settings, dag_id: str, dags_folder: Path, rounds: int) -> list[float]:
    """Return the durations, in seconds, of runs one after another on a stack that is up."""
    env = airflow_environment(settings, {**os.environ, "AIRFLOW__CORE__DAGS_FOLDER": str(dags_folder)})
    stack = Stack(settings, env)
    started = datetime.now(UTC)
    stack.start()
    try:
        stack.wait_for_dag(dag_id, started)
        api = stack.api()
        api.set_paused(dag_id, paused=False)
        durations = []
        for _ in range(rounds):
            run_id = api.trigger(dag_id, {"source_location": settings.source_location}).run_id
            while (run := api.run(dag_id, run_id)).end is None or run.start is None:
                time.sleep(0.2)
            if run.state != "success":
                raise RuntimeError(f"{dag_id} ended as {run.state}; logs in {settings.local_dir}")
            durations.append((run.end - run.start).total_seconds())
        return durations
    finally:
        stack.stop()
