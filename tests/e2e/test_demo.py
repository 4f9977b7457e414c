"""`make demo` as a user runs it: the same numbers each time, nothing left, failures in plain words."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest

from include.ingestion.origin import MARKER
from include.settings import PROJECT_ROOT
from tests.machine import cloned, left_behind, users_environment
from tests.warehouse.locks import locked

pytestmark = pytest.mark.timeout(4000)

Demo = Callable[..., subprocess.CompletedProcess[str]]

WAREHOUSE = Path("warehouse", "marketing_insights.duckdb")
MANUAL = ("README.md", "docs/getting-started.md", "docs/dbt-by-itself.md")
# Commands of the manual that the test below does not run, and what does, or why nothing can.
RUN_ELSEWHERE = {
    "make demo": "the first test here runs it",
    "make test": "runs this test",
    "make up": "tests/e2e/test_airflow.py",
    "make down": "the last fixture here, after each demo",
    "airflow backfill create": "needs the schedule of a stack that is up: tests/e2e/test_airflow.py",
    "airflow dags test marketing_pipeline": "tests/e2e/test_airflow.py",
    "python -m streaming_workers.producer": "runs until it is stopped; the demo starts it",
    "python -m streaming_workers.consumer": "the same",
    "python -m streaming_workers.dead_letters list": "needs a broker: tests/streaming_workers",
    "python -m ml.train --features features.parquet": "needs a file of the user's: tests/ml/test_train.py",
}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean checkout."""
    return cloned(tmp_path_factory.mktemp("clone") / "marketing-insight-pipeline")


@pytest.fixture(scope="module")
def local_dir(clone: Path) -> Path:
    return clone / ".local"


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    return users_environment()


@pytest.fixture(scope="module")
def demo(clone: Path, environment: dict[str, str]) -> Iterator[Demo]:
    """Return what runs `make demo` in the clone."""

    def run(
        *arguments: str, command: str = "demo", feeds: str = "simulator"
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["make", command, *arguments],
            env={**environment, "FEEDS": feeds},
            cwd=clone,
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
    # The second training's model, and each customer's stay in it, stand beside the first one's.
    growing = ("analytics.segment_model", "snapshots.segment_history")
    same = [line for line in figures(first.stdout) if not line.startswith(growing)]
    assert [line for line in figures(second.stdout) if not line.startswith(growing)] == same
    assert re.search(r"Tests: \d{2,} passed, 0 warned, 0 failed", second.stdout)
    assert shown(first.stdout, "bitcoin-prices: new events") > 5
    assert shown(first.stdout, "news-events: new events") > 5
    assert shown(first.stdout, "Dead letters") == 0
    assert re.search(r"^Newest price of bitcoin \(simulated, USD\) +[\d,]+\.\d\d at ", first.stdout, re.M)
    assert left_behind(local_dir) == []
    report = Path(second.stdout.rstrip().splitlines()[-1].removeprefix("Report: "))
    assert report.is_relative_to(local_dir)
    assert report.read_text(encoding="utf-8").count('<article class="block"') > 20
    assert_the_readme_shows(first.stdout)


def assert_the_readme_shows(output: str) -> None:
    """The README's excerpt of the demo has today's figures; those of K-means may differ on another CPU."""
    readme = (PROJECT_ROOT / "README.md").read_text(encoding="utf-8")
    (excerpt,) = re.findall(r"^```text\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    printed = {" ".join(line.split()) for line in figures(output)}
    shown = {" ".join(line.split()) for line in figures(excerpt)}
    assert len(shown) > 5
    names = ("Segments", "Big", "At-Risk", "Occasional", "Champions", "Loyal")
    assert {line for line in shown if not line.startswith(names)} <= printed
    assert re.findall(r"^Tests: .*$", excerpt, re.M) == re.findall(r"^Tests: .*$", output, re.M)
    labels = {re.split(r"  +", line)[0] for line in output.splitlines()}
    assert {re.split(r"  +", line)[0] for line in excerpt.splitlines()[:-1]} - labels == {"…"}


def test_a_build_without_airflow_waits_for_the_file_loads_nothing_and_gives_the_same_tables(
    clone: Path, local_dir: Path, environment: dict[str, str]
) -> None:
    """From a folder with a blank in its name, on the demo's warehouse, which a consumer holds."""
    before = sales(local_dir)[0][:2]
    shutil.copytree(local_dir / "data" / "sample-1", clone / "my files")
    with locked(local_dir / WAREHOUSE):
        building = subprocess.Popen(
            ["make", "build", "DATA_DIR=my files"],
            env=environment,
            cwd=clone,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert building.stdout is not None
        waited = next((line for line in building.stdout if "Could not set lock on file" in line), "it ended")
    with building:
        output = building.stdout.read()
    assert building.returncode == 0, waited + output
    assert output.count(".csv unchanged") == 5
    assert re.search(r"Tests: \d{2,} passed, 0 warned, 0 failed", output)
    assert shown(output, "Champions (VIPs)") > 0
    assert sales(local_dir)[0][:2] == before
    assert shown(output, "analytics.fct_sales") == before[0]


def test_a_failed_run_names_the_task_and_its_log(demo: Demo, local_dir: Path, tmp_path: Path) -> None:
    """Exit code 1, nothing changed, nothing left running."""
    before = sales(local_dir)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / MARKER).touch()  # generated, as what the warehouse holds
    done = demo(f"DATA_DIR={tmp_path / 'empty'}", feeds="none")
    assert done.returncode == 2, "what make makes of the program's 1"
    assert "Failed task: ingest [customers]" in done.stderr
    assert "No file for customers in" in done.stderr
    assert all(Path(log).is_file() for log in re.findall(r"log: +(\S+)", done.stderr))
    assert sales(local_dir) == before
    assert left_behind(local_dir) == []


def sales(local_dir: Path) -> list[tuple[object, ...]]:
    with duckdb.connect(str(local_dir / WAREHOUSE), read_only=True) as connection:
        return connection.execute(
            "select count(*), sum(total_amount), max(processed_at) from analytics.fct_sales"
        ).fetchall()


def commands(text: str) -> list[str]:
    """Return the lines of the bash blocks, each block's from the project's folder."""
    found: list[str] = []
    for block in re.findall(r"^```bash\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        lines = block.replace("\\\n", " ").splitlines()
        found += ["cd {root}", *(line for line in lines if line.strip() and not line.startswith("#"))]
    return found


def test_the_manuals_commands_work_as_written(clone: Path, environment: dict[str, str], demo: Demo) -> None:
    """In the clone that the demo has set up, on its warehouse, page by page."""
    written = commands("".join((clone / page).read_text(encoding="utf-8") for page in MANUAL))
    for start in RUN_ELSEWHERE:
        assert any(line.startswith(start) for line in written), f"the manual no longer says {start}"
    mine = [line.format_map({"root": clone}) if line.startswith("cd {") else line for line in written]
    mine = [line for line in mine if not line.startswith(tuple(RUN_ELSEWHERE))]
    assert len([line for line in mine if not line.startswith("cd ")]) >= 12
    done = subprocess.run(
        [
            "bash",
            "-c",
            'source .local/env.sh && exec python "$0"',
            PROJECT_ROOT / "tests/e2e/readme_commands.py",
        ],
        input=json.dumps(mine),
        env=environment,
        cwd=clone,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert re.search(r"stg_bitcoin: \d+ rows", done.stdout)
