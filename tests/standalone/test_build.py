"""`make build` as an analytics engineer uses it: files in, tested tables out, or the reason why not."""

import io
import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from rich.console import Console

from include.ingestion.loader import ingest
from include.settings import DBT_PROJECT_DIR, PROJECT_ROOT, Settings
from include.warehouse.duckdb import DuckDBWarehouse
from standalone.build import BuildError, run_build
from standalone.sample_data.generator import generate
from tests.dbt.dbt_project import (
    OUR_VARIABLES,
    WAREHOUSE,
    Rows,
    keep_some,
    make_project,
    only_data_and_words,
    quick_dbt,
    write,
)
from tests.dbt.money import expected_lines, read

CUSTOMERS = 60
Build = Callable[[str], tuple[int, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything of these tests; `my shop` holds the files of a small one."""
    folder = tmp_path_factory.mktemp("build")
    generate(folder / "everyone")
    keep_some(folder / "everyone", folder / "my shop", CUSTOMERS)
    return folder


@pytest.fixture(scope="module")
def environment(folder: Path) -> dict[str, str]:
    others = {
        name: value for name, value in os.environ.items() if not name.startswith((*OUR_VARIABLES, "AIRFLOW"))
    }
    own = {"LOCAL_DIR": str(folder / "local"), "DUCKDB_PATH": str(folder / WAREHOUSE)}
    return {**others, **own, "PYTHONPATH": str(PROJECT_ROOT)}


def start(environment: dict[str, str], folder: Path, data_dir: str) -> "subprocess.Popen[str]":
    """Start what `make build DATA_DIR=…` starts, in `folder`."""
    return subprocess.Popen(
        [sys.executable, "-m", "standalone", "build"],
        env={**environment, "DATA_DIR": data_dir},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture(scope="module")
def build(environment: dict[str, str], folder: Path) -> Build:
    """Return what builds from a folder: exit code and all that was printed."""

    def run(data_dir: str) -> tuple[int, str]:
        with start(environment, folder, data_dir) as process:
            output, _ = process.communicate(timeout=300)
        return process.returncode, output

    return run


@pytest.fixture(scope="module")
def built(build: Build) -> str:
    """What a good build printed; its DATA_DIR is relative and has a blank."""
    code, output = build("my shop")
    assert code == 0, output
    return output


def run_segments(environment: dict[str, str]) -> tuple[int, str]:
    """Run what `make segments` runs: exit code and all that was printed."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "standalone", "segments"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=300,
    )
    return done.returncode, done.stdout


def query(warehouse: Path, sql: str) -> Rows:
    with DuckDBWarehouse(warehouse).session() as session:
        return session.execute(sql)


def shown(output: str, label: str) -> Decimal:
    """Return the number that the summary shows beside a label."""
    (figure,) = re.findall(rf"^{re.escape(label)} +([\d,.]+)", output, re.MULTILINE)
    return Decimal(figure.replace(",", ""))


def test_files_become_tested_tables(built: str, folder: Path) -> None:
    lines = expected_lines(folder / "my shop").values()

    assert f"{len(lines):,} rows of Online_Sales.csv loaded" in built
    assert shown(built, "analytics.fct_sales") == len(lines)
    assert shown(built, "Customers") == CUSTOMERS
    assert shown(built, "Revenue (net sales)") == sum(line.net for line in lines)
    assert shown(built, "Total") == sum(line.total for line in lines)
    # A shop this small has days with less than half of their usual lines, which is worth a warning.
    assert re.search(r"^Tests: \d{3} passed, [01] warned, 0 failed$", built, re.MULTILINE)


def test_segments_before_a_build_say_what_comes_first(environment: dict[str, str], tmp_path: Path) -> None:
    code, output = run_segments({**environment, "DUCKDB_PATH": str(tmp_path / "none.duckdb")})
    assert code == 1
    assert output.startswith("make segments trains on the DuckDB file that `make build` fills")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("built")
def test_segments_that_the_gate_refuses_are_not_used_and_the_reason_is_printed(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """A shop this small gives no segments that hold."""
    code, output = run_segments({**environment, "ML_REGISTRY": str(tmp_path), "ML_MIN_SEGMENT_SHARE": "0.5"})
    assert code == 1, output
    assert "Traceback" not in output
    assert re.search(r"Version \S+ is not used, the model in use goes on\.", output)
    assert len(list(tmp_path.glob("versions/*/version.json"))) == 1  # kept for inspection
    assert list(tmp_path.glob("promotions/*")) == []


def test_nothing_of_a_running_stack_is_touched(built: str, folder: Path, environment: dict[str, str]) -> None:
    """Neither the manifest that Airflow reads nor Airflow's database, and no home folder of Airflow's own."""
    made = {path.name for path in (folder / "local").iterdir()}

    assert made == {"airflow", "build", "sources.json", "used_by"}
    assert {path.name for path in (folder / "local" / "airflow").iterdir()} <= {"logs"}


def test_too_many_bad_rows_stop_it_with_the_test_and_its_sentence(
    built: str, build: Build, folder: Path
) -> None:
    before = query(folder / WAREHOUSE, "select count(*), sum(total_amount) from analytics.fct_sales")
    shutil.copytree(folder / "my shop", folder / "bad rows")
    lines = read(folder / "my shop" / "Online_Sales.csv")
    write(folder / "bad rows" / "Online_Sales.csv", [line | {"Quantity": "-3"} for line in lines])

    code, output = build("bad rows")

    assert code == 1
    assert re.search(
        rf"rejected_share_within_limit_\w+: {len(lines)} of {len(lines)} rows of \S+ are", output
    )
    assert 'for example quantity "-3" is not a positive whole number' in output
    assert re.search(r"\d+ nodes that depend on it were not built", output)
    assert (folder / "local" / "build" / "dbt.log").is_file()
    assert "Traceback" not in output
    after = query(folder / WAREHOUSE, "select count(*), sum(total_amount) from analytics.fct_sales")
    assert after == before


@pytest.fixture
def project(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dbt project of one table, on a warehouse of its own."""
    only(monkeypatch, LOCAL_DIR=str(tmp_path / "local"), DUCKDB_PATH=str(tmp_path / WAREHOUSE))
    project = tmp_path / "project"
    (project / "models").mkdir(parents=True)
    (project / "tests").mkdir()
    shutil.copy(DBT_PROJECT_DIR / "profiles.yml", project)
    (project / "dbt_project.yml").write_text("name: small\nprofile: marketing_insights\n")
    (project / "models" / "customers.sql").write_text("select * from raw.customers")
    return project


def only(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    """Set just these of the variables that the product reads."""
    for name in [name for name in os.environ if name.startswith(OUR_VARIABLES)]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def test_each_failed_node_is_named_with_what_dbt_said(project: Path, folder: Path) -> None:
    (project / "models" / "broken.sql").write_text("select no_such_column from raw.customers")
    (project / "tests" / "nobody.sql").write_text("select * from {{ ref('customers') }} limit 3")

    with pytest.raises(BuildError) as told:
        run_build(Settings(source_location=str(folder / "my shop")), Console(quiet=True), project)

    message = str(told.value)
    assert re.search(r"  broken: .*no_such_column", message)
    assert "  nobody: Got 3 results, configured to fail if != 0." in message
    (query_file,) = re.findall(r"its query: (\S+)", message)
    assert "limit 3" in Path(query_file).read_text()


def test_a_project_that_does_not_parse_is_told_in_one_sentence(project: Path, folder: Path) -> None:
    (project / "models" / "orphan.sql").write_text("select * from {{ ref('nowhere') }}")

    with pytest.raises(BuildError, match=r"dbt cannot build: .*nowhere"):
        run_build(Settings(source_location=str(folder / "my shop")), Console(quiet=True), project)


def test_snowflake_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAREHOUSE", "snowflake")

    with pytest.raises(BuildError, match="unset WAREHOUSE"):
        run_build(Settings(), Console(quiet=True))


def test_a_file_that_cannot_be_read_stops_it_before_dbt(build: Build, folder: Path) -> None:
    shutil.copytree(folder / "my shop", folder / "broken")
    with (folder / "broken" / "Tax_amount.csv").open("a") as file:
        file.write("Toys,5%,too,many\r\n")

    code, output = build("broken")

    assert code == 1
    assert "Tax_amount.csv cannot be read as CSV: line 22" in output
    assert "nodes done" not in output
    assert "Traceback" not in output


def test_a_folder_that_is_not_there_is_named(build: Build, folder: Path) -> None:
    code, output = build("no such shop")

    assert (code, output.strip()) == (1, f"DATA_DIR is not a folder: {folder / 'no such shop'}")


def test_the_seed_in_use_gives_the_segments_unless_it_is_another_shops(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, LOCAL_DIR=str(tmp_path / "local"), DUCKDB_PATH=str(tmp_path / "shop.duckdb"))
    project = make_project(tmp_path / "tree")
    settings = Settings(source_location=str(folder / "my shop"))
    customers = read(folder / "my shop" / "CustomersData.csv")
    seed = [
        {
            "customer_id": row["CustomerID"],
            "segment_id": "4",
            "segment_name": "Loyal Customers",
            "model_version": "1",
        }
        for row in customers
    ]
    write(project.directory / "seeds" / "customer_segments.csv", seed)
    with quick_dbt(), only_data_and_words():
        (segment,) = run_build(settings, Console(quiet=True), project.directory).segments
    assert logging.getLogger(ingest.__module__).level == logging.NOTSET, "others in this process log on"
    assert (segment.name, segment.customers) == ("Loyal Customers", CUSTOMERS)

    write(project.directory / "seeds" / "customer_segments.csv", [*seed, seed[0] | {"customer_id": "1"}])
    printed = io.StringIO()
    with quick_dbt(), only_data_and_words():
        summary = run_build(settings, Console(file=printed, soft_wrap=True), project.directory)
    assert "Segments are left out" in printed.getvalue()
    assert "customers not in these files: 1)" in printed.getvalue()
    assert summary.tests.failed == 0
    assert summary.segments == (segment,)


def test_the_real_files_give_the_known_figures(
    real_data: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    with start(
        {**environment, "DUCKDB_PATH": str(tmp_path / "real.duckdb")}, tmp_path, str(real_data)
    ) as run:
        output, _ = run.communicate(timeout=300)

    assert run.returncode == 0, output
    assert shown(output, "Revenue (net sales)") == Decimal("4360009.81")
    assert shown(output, "Total") == Decimal("5061246.18")
