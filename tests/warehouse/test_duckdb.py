"""The warehouse file is opened late, shared by turns and fails clearly."""

import datetime as dt
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pytest

from include.settings import PROJECT_ROOT, Settings
from include.warehouse import get_warehouse
from include.warehouse.duckdb import DuckDBWarehouse, StreamDuckDBWarehouse
from tests.warehouse.locks import locked


def test_duckdb_is_the_default_and_its_file_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WAREHOUSE", raising=False)
    monkeypatch.setenv("DUCKDB_PATH", str(tmp_path / "here" / "my.duckdb"))
    warehouse = get_warehouse(Settings())

    with warehouse.session() as session:
        session.execute("create table kept (n integer)")

    assert isinstance(warehouse, DuckDBWarehouse)
    assert duckdb.connect(tmp_path / "here" / "my.duckdb").execute(
        "select count(*) from kept"
    ).fetchall() == [(0,)]


ANOTHER_CONTAINER = ["unshare", "--user", "--map-root-user", "--pid", "--fork"]
MAY_UNSHARE = subprocess.run([*ANOTHER_CONTAINER, "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(
    not MAY_UNSHARE, reason="this machine lets nobody make a PID namespace, as a container has"
)
def test_a_lock_of_another_container_is_called_that(tmp_path: Path) -> None:
    """The kernel gives no PID across containers; DuckDB alone says `PID 0`."""
    path = tmp_path / "w.duckdb"
    code = (
        "import pathlib, sys; from include.warehouse.duckdb import DuckDBWarehouse as W\n"
        "with W(pathlib.Path(sys.argv[1]), 0).session(): pass"
    )
    with DuckDBWarehouse(path).session():
        argv = [*ANOTHER_CONTAINER, sys.executable, "-c", code, str(path)]
        done = subprocess.run(argv, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    assert "Could not set lock on file" in done.stderr
    assert "is held by a process of another container" in done.stderr
    assert "PID 0" not in done.stderr


def test_a_session_waits_while_another_process_holds_the_file(tmp_path: Path) -> None:
    warehouse = DuckDBWarehouse(tmp_path / "w.duckdb")

    def count() -> list[tuple[object, ...]]:
        with warehouse.session() as session:
            return session.execute("select 1")

    with ThreadPoolExecutor() as pool:
        with locked(warehouse.path):
            waiting = pool.submit(count)
            time.sleep(2)
            assert not waiting.done()
        assert waiting.result(timeout=20) == [(1,)]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/sys/block/w.duckdb", "Permission denied|Read-only file system"),  # has "lock" in its name
        ("/proc/warehouse/w.duckdb", "No such file or directory|Permission denied"),
    ],
)
def test_a_place_that_cannot_be_written_fails_at_once(path: str, message: str) -> None:
    start = time.monotonic()

    with pytest.raises((OSError, duckdb.IOException), match=message), DuckDBWarehouse(Path(path)).session():
        pass

    assert time.monotonic() - start < 2


def test_a_file_that_is_no_warehouse_fails_at_once_and_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("do not touch" * 1000)

    with (
        pytest.raises(duckdb.IOException, match=r"notes\.txt.*not a valid DuckDB"),
        DuckDBWarehouse(path).session(),
    ):
        pass

    assert path.read_text() == "do not touch" * 1000


def test_a_transaction_is_done_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    warehouse = DuckDBWarehouse(tmp_path / "w.duckdb")
    with warehouse.session() as session:
        session.execute("create table t (n integer)")
        with session.transaction():
            session.execute("insert into t values (1)")

        def fail_half_way() -> None:
            with session.transaction():
                session.execute("insert into t values (2)")
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fail_half_way()

    with warehouse.session() as session:
        assert session.execute("select n from t") == [(1,)]


def test_times_come_back_in_utc(tmp_path: Path) -> None:
    noon = dt.datetime(2019, 6, 1, 12, tzinfo=dt.timezone(dt.timedelta(hours=5)))

    with DuckDBWarehouse(tmp_path / "w.duckdb").session() as session:
        [(found,)] = session.execute("select ?::timestamptz", [noon])

    assert found == noon
    assert found.utcoffset() == dt.timedelta(0)


def test_no_progress_bar_goes_to_stdout(tmp_path: Path) -> None:
    """DuckDB would draw one during a statement of more than two seconds, which is no line of a JSON log."""
    with DuckDBWarehouse(tmp_path / "w.duckdb").session() as session:
        assert session.execute("select current_setting('enable_progress_bar')") == [(False,)]


@pytest.mark.slow
def test_with_a_log_small_changes_leave_the_file_alone_and_large_ones_do_not(tmp_path: Path) -> None:
    """A checkpoint is when a killed process can damage the file."""
    warehouse = StreamDuckDBWarehouse(tmp_path / "w.duckdb")
    with warehouse.session() as session:
        session.execute("create table t (n integer, text varchar)")
    empty = warehouse.path.read_bytes()

    for number in range(20):
        with warehouse.session() as session:
            session.execute("insert into t values (?, 'x')", [number])
    assert warehouse.path.read_bytes() == empty
    with warehouse.session() as session:
        assert session.execute("select count(*), max(n) from t") == [(20, 19)]

    for _ in range(30):
        with warehouse.session() as session:
            session.execute("insert into t values (?, repeat('x', 60_000))", [number])
    assert warehouse.path.read_bytes() != empty
    with warehouse.session() as session:
        assert session.execute("select count(*) from t") == [(50,)]


OUTSIDE = [
    "select content from read_text('/proc/self/environ')",
    "select * from read_csv('{folder}/other.csv')",
    "select * from glob('{folder}/*')",
    "copy (select 1) to '{folder}/written.csv'",
    "copy (select 1) to '/dev/stdout'",
    "export database '{folder}/exported'",
    "attach '{folder}/attached.duckdb'",
    "install httpfs",
    "load httpfs",
    "select * from 'https://localhost/data.parquet'",
    "create secret s3 (type s3)",
    "set enable_external_access = true",
    "set allowed_directories = ['/']",
    "set lock_configuration = false",
    "reset lock_configuration",
    "set autoinstall_known_extensions = true",
    "set profiling_output = '{folder}/profile.json'",
    "set log_query_path = '{folder}/queries.log'",
    "set temp_directory = '{folder}/spilled'",
]


@pytest.mark.parametrize("sql", OUTSIDE)
@pytest.mark.parametrize("kind", [DuckDBWarehouse, StreamDuckDBWarehouse])
def test_sql_reaches_nothing_outside_the_file(tmp_path: Path, sql: str, kind: type[DuckDBWarehouse]) -> None:
    (tmp_path / "other.csv").write_text("a\n1\n", encoding="utf-8")
    before = {path.name for path in tmp_path.iterdir()}
    warehouse = kind(tmp_path / "here" / "w.duckdb")
    with warehouse.session() as session, pytest.raises(duckdb.Error, match=r"disabled|locked|Cannot"):
        session.execute(sql.format(folder=tmp_path))
    assert {path.name for path in tmp_path.iterdir()} - before == {"here"}


def test_a_second_session_of_a_process_is_as_closed_as_the_first(tmp_path: Path) -> None:
    warehouse = DuckDBWarehouse(tmp_path / "w.duckdb")
    with warehouse.session() as first, warehouse.session() as second:
        for session in (first, second):
            assert session.execute("select current_setting('TimeZone')") == [("UTC",)]
            with pytest.raises(duckdb.PermissionException):
                session.execute("select content from read_text('/proc/self/environ')")
