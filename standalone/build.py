"""The shop's files into tested tables in one process, without Airflow's services and without Kafka.

It ingests, checks the raw tables and runs `dbt build`, as the DAGs do, on the DuckDB file of the settings.
All of dbt is built: the streams on what a consumer has stored (nothing, in a new file), the segments from the
seed in use, unless that is another shop's. dbt's unit tests stay out, as in the DAGs.

Import it where AIRFLOW_HOME is set: ingestion imports Airflow, which makes that folder.
"""

import csv
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.cli.main import dbtRunner, dbtRunnerResult
from dbt_common.events.base_types import EventMsg
from rich.console import Console

from include.dbt_failures import FAILED, failures, said_by_dbt
from include.dbt_with_parent import start_from_any_parse
from include.ingestion.datasets import DATASETS
from include.ingestion.errors import IngestionError
from include.ingestion.loader import ingest
from include.ingestion.quality import check_raw_tables
from include.orchestration.dbt_manifest import options_of_the_parse
from include.settings import DBT_PROJECT_DIR, Settings
from include.warehouse import Warehouse, get_warehouse
from ml.seed import ensure_seed
from standalone.errors import StandaloneError
from standalone.progress import Show, progress
from standalone.summary import Stage, Summary, read_warehouse


class BuildError(StandaloneError):
    """A file or dbt stopped the build: the message names the file, or each failed node and what dbt said."""


def run_build(settings: Settings, console: Console, project: Path = DBT_PROJECT_DIR) -> Summary:
    """Load settings.source_location into settings.duckdb_path, build and test dbt's models, sum up.

    Raises BuildError; what was loaded and built until then stays, as in a failed run of the DAG.
    """
    if settings.warehouse != "duckdb":
        raise BuildError("make build fills a DuckDB file: unset WAREHOUSE. On Snowflake run `dbt build`.")
    began, stages = datetime.now(UTC), list[Stage]()
    console.print(f"Files: {settings.source_location}\nWarehouse: {settings.duckdb_path}")
    ensure_seed(project)
    warehouse = get_warehouse(settings)
    try:
        with _timed("ingest", stages):
            _ingest(warehouse, settings.source_location, console)
        with _timed("quality_gate", stages):
            check_raw_tables(warehouse)
    except IngestionError as error:
        raise BuildError(str(error)) from error
    with _timed("dbt build", stages):
        build_nodes(settings, project, _left_out(warehouse, project, console), console)
    return read_warehouse(settings.duckdb_path, since=began, stages=stages)


@contextmanager
def _timed(name: str, stages: list[Stage]) -> Iterator[None]:
    began = time.monotonic()
    yield
    stages.append(Stage(name, time.monotonic() - began))


def _ingest(warehouse: Warehouse, location: str, console: Console) -> None:
    log = logging.getLogger(ingest.__module__)
    level = log.level
    log.setLevel(logging.WARNING)  # it would say the same as the lines here
    try:
        for dataset in DATASETS:
            for file in ingest(warehouse, location, dataset):
                state = "loaded" if file.loaded else "unchanged"
                console.print(f"{file.rows:>12,} rows of {file.source_file} {state}", markup=False)
    finally:
        log.setLevel(level)


def _left_out(warehouse: Warehouse, project: Path, console: Console) -> list[str]:
    """Return dbt's options for what cannot be built: the segments, where the seed is another shop's."""
    seed = project / "seeds" / "customer_segments.csv"
    if not seed.exists():  # a project without segments
        return []
    with seed.open(encoding="utf-8", newline="") as file:
        seeded = {row["customer_id"] for row in csv.DictReader(file)}
    with warehouse.session() as session:
        shop = session.execute("select distinct try_cast(customerid as bigint) from raw.customers")
    strangers = len(seeded - {str(customer) for (customer,) in shop})
    if not strangers:
        return []
    console.print(
        f"Segments are left out: the seed {seed.name} is another shop's (customers not in these files:"
        f" {strangers:,}).",
        markup=False,
    )
    return ["--exclude", "tag:segments+"]  # with what follows from them


def build_nodes(settings: Settings, project: Path, selection: list[str], console: Console) -> None:
    """Build and test the nodes that dbt's options select, without unit tests; raises BuildError."""
    own = settings.local_dir / "build"  # Airflow reads the project's own target folder
    command = ["--log-level", "none", "--log-level-file", "debug", "--log-path", str(own)]
    command += ["build", "--target-path", str(own / "target")]
    command += [
        "--project-dir",
        str(project),
        "--profiles-dir",
        str(project),
        *options_of_the_parse("duckdb"),
    ]
    command += ["--exclude-resource-type", "unit_test", *selection]
    start_from_any_parse()
    with progress(console, "nodes") as show:
        result = dbtRunner(callbacks=[_shown_by(show)]).invoke(command)
    DuckDBConnectionManager.close_all_connections()  # an error may leave one, and its lock on the file
    if isinstance(result.exception, (SystemExit, KeyboardInterrupt)):  # dbt catches these, too
        raise result.exception
    if not result.success:
        raise BuildError(f"{_reasons(result)}\ndbt's log: {own / 'dbt.log'}")


def _shown_by(show: Show) -> Callable[[EventMsg], None]:
    """Return a callback for dbt's events, of all its threads: how many nodes are done, the schema at work."""
    done, total, schema, lock = 0, 0, "", Lock()

    def watch(event: EventMsg) -> None:
        nonlocal done, total, schema
        if event.info.name == "LogStartLine":
            total = event.data.total
            if event.data.node_info.resource_type != "test":
                schema = event.data.node_info.node_relation.schema
        elif event.info.name == "NodeFinished":
            with lock:
                done += 1
                show(done, total, schema)

    return watch


def _reasons(result: dbtRunnerResult) -> str:
    """Return what failed, one line a node, with the query of a failed test, and how much was not built."""
    ran = getattr(result.result, "results", None) or []
    failed = failures((one.node.unique_id, str(one.status), one.message) for one in ran)
    if not failed:
        return f"dbt cannot build: {said_by_dbt(str(result.exception))}"
    queries = {
        one.node.name: one.node.compiled_path
        for one in ran
        if str(one.status) in FAILED and one.node.resource_type == "test" and one.node.compiled_path
    }
    lines = ["dbt build failed:"]
    for name, said in failed.items():
        lines.append(f"  {name}: {said}")
        if name in queries:
            lines.append(f"    its query: {queries[name]}")
    if skipped := sum(str(one.status) == "skipped" for one in ran):
        lines.append(f"{skipped:,} nodes that depend on it were not built.")
    return "\n".join(lines)
