"""What a user waits for: the whole demo; and the parse of a DAG file, which each of its tasks begins with."""

import sys
from collections.abc import Iterator
from pathlib import Path

from include.settings import PROJECT_ROOT
from standalone.environment import airflow_environment
from tests.bench.measure import Ratio, quietly, seconds, settings_in
from tests.machine import cloned, users_environment

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
    """The first `make demo` of a clean checkout that is set up."""
    clone, env = cloned(folder / "clone"), users_environment()
    quietly(["make", "setup", "kafka"], env, clone)
    taken = seconds(lambda: quietly(DEMO.split(), env, clone))
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
