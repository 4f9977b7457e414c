"""What a user waits for: the whole demo; and the parse of a DAG file, which each of its tasks begins with."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from include.settings import PROJECT_ROOT
from standalone.environment import airflow_environment
from tests.bench.measure import Ratio, quietly, seconds, settings_in
from tests.kafka import free_port as free_kafka_port
from tests.machine import free_port

DEMO = "make demo"
# All of one process, the imports before the first: a task's process comes from one that has them.
PARSE = """
import sys, time
from statistics import median
from airflow.dag_processing.dagbag import DagBag
for file in sys.argv[1:]:
    taken = []
    for _ in range(6):
        began = time.process_time()
        bag = DagBag(file)
        taken.append(time.process_time() - began)
        if bag.import_errors:
            sys.exit(f"{bag.import_errors}")
    print("parsed", file, median(taken[1:]))
"""


def bench_demo(folder: Path) -> Iterator[Ratio]:
    """`make demo` on a machine that is set up, with all state in `folder`."""
    ports = ("AIRFLOW_PORT", "SIMULATOR_PORT", "PRODUCER_METRICS_PORT", "CONSUMER_METRICS_PORT")
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))},
        **{name: str(free_port()) for name in ports},
        "KAFKA_PORT": str(free_kafka_port()),
        "DUCKDB_PATH": str(folder / "warehouse.duckdb"),
        "LOCAL_DIR": str(folder),
        "SEGMENTS_SEED_FILE": str(folder / "customer_segments.csv"),
    }
    taken = seconds(lambda: quietly(DEMO.split(), env, PROJECT_ROOT))
    yield Ratio(f"{DEMO}, seconds", taken, 80, at_most=True, detail="set-up before it excluded", goal=60)


def bench_parse(folder: Path) -> Iterator[Ratio]:
    """The slowest DAG file's parse, in processor time."""
    files = map(str, sorted((PROJECT_ROOT / "dags").glob("*.py")))
    command = [sys.executable, "-W", "ignore", "-c", PARSE, *files]
    printed = quietly(command, airflow_environment(settings_in(folder)), PROJECT_ROOT)
    lines = [line.split() for line in printed.splitlines() if line.startswith("parsed ")]
    found = {Path(file).stem: float(taken) for _, file, taken in lines}
    each = ", ".join(f"{name} {taken:.2f} s" for name, taken in found.items())
    yield Ratio("a DAG file's parse, seconds", max(found.values()), 0.15, at_most=True, detail=each, goal=0.1)
