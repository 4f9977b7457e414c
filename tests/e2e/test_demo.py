"""`make demo` as a user runs it: the same numbers each time, nothing left, failures in plain words."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest

from include.settings import PROJECT_ROOT
from tests import kafka
from tests.machine import free_port, left_behind

pytestmark = pytest.mark.timeout(4000)

Demo = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def local_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def demo(local_dir: Path) -> Iterator[Demo]:
    """Return what runs the command that `make demo` runs, all of its state in a folder of its own."""
    own = ("DUCKDB_PATH", "SOURCE_LOCATION", "PIPELINE_SCHEDULE", "WAREHOUSE")
    inherited = {name: value for name, value in os.environ.items() if name not in own}
    ports = ("AIRFLOW_PORT", "SIMULATOR_PORT", "PRODUCER_METRICS_PORT", "CONSUMER_METRICS_PORT")
    env = {**inherited, "LOCAL_DIR": str(local_dir), "KAFKA_PORT": str(kafka.free_port())}
    env |= {name: str(free_port()) for name in ports}

    def run(
        *arguments: str, command: str = "demo", feeds: str = "simulator"
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "include.local", command, *arguments],
            env={**env, "FEEDS": feeds},
            cwd=PROJECT_ROOT,
            capture_output=True,
            text=True,
            timeout=1800,
            check=False,
        )

    yield run
    run(command="down")  # a demo that took too long was killed, and could stop nothing


def figures(output: str) -> list[str]:
    """Return the lines of the summary that depend on the shop's files only: not on time, not on the feeds."""
    lines = re.findall(
        r"^(?:raw|staging|analytics|snapshots|Revenue|Discount|GST|Delivery|Total|Orders|Segments|Big|At-Risk"
        r"|Occasional|Champions|Loyal).*$",
        output,
        re.M,
    )
    return [line for line in lines if "_hourly" not in line]


def shown(output: str, label: str) -> int:
    """Return the whole number that the summary shows beside a label."""
    (figure,) = re.findall(rf"^{re.escape(label)} +([\d,]+)", output, re.M)
    return int(figure.replace(",", ""))


def test_a_second_demo_prints_the_same_numbers_and_leaves_nothing_running(
    demo: Demo, local_dir: Path
) -> None:
    first, second = demo(), demo(feeds="none")
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert len(figures(first.stdout)) > 15
    assert figures(second.stdout) == figures(first.stdout)
    assert re.search(r"Tests: \d{2,} passed, 0 warned, 0 failed", second.stdout)
    assert shown(first.stdout, "bitcoin-prices: new events") > 5
    assert shown(first.stdout, "news-events: new events") > 5
    assert shown(first.stdout, "Dead letters") == 0
    assert re.search(r"^Newest price of bitcoin \(USD\) +[\d,]+\.\d\d at ", first.stdout, re.M)
    assert left_behind(local_dir) == []


def test_a_failed_run_names_the_task_and_its_log(demo: Demo, local_dir: Path, tmp_path: Path) -> None:
    """Exit code 1, nothing changed, nothing left running."""
    before = sales(local_dir)
    (tmp_path / "empty").mkdir()
    done = demo("--data-dir", str(tmp_path / "empty"), feeds="none")
    assert done.returncode == 1
    assert "Failed task: ingest [customers]" in done.stderr
    assert "No file for customers in" in done.stderr
    assert all(Path(log).is_file() for log in re.findall(r"log: +(\S+)", done.stderr))
    assert sales(local_dir) == before
    assert left_behind(local_dir) == []


def sales(local_dir: Path) -> list[tuple[object, ...]]:
    with duckdb.connect(
        str(local_dir / "warehouse" / "marketing_insights.duckdb"), read_only=True
    ) as connection:
        return connection.execute(
            "select count(*), sum(total_amount), max(processed_at) from analytics.fct_sales"
        ).fetchall()
