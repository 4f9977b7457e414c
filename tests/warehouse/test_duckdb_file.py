"""A process killed while it makes the warehouse's file leaves nothing that has to be mended by hand."""

import fcntl
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from include.settings import DBT_PROJECT_DIR, PROJECT_ROOT
from include.warehouse.duckdb import DuckDBWarehouse, StreamDuckDBWarehouse, is_lock_conflict

pytestmark = pytest.mark.slow  # files and processes: some seconds in all

CUT_SHORT = (0, 4096, 8192)
"""Lengths of a file that DuckDB was making by itself when it was killed, at each of its three writes."""

# A write beyond the limit ends the process as a kill does, by SIGXFSZ, which Python ignores otherwise.
KILLED_BEYOND = """
import resource, signal, sys
from pathlib import Path
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
"""
MAKE_IT = """
from include.warehouse.duckdb import DuckDBWarehouse
with DuckDBWarehouse(Path(sys.argv[1])).session() as session:
    session.execute("create table if not exists t (n integer)")
    session.execute("insert into t values (1)")
"""
DUCKDB_MAKES_IT = "import duckdb\nduckdb.connect(sys.argv[1]).close()\n"


def started(code: str, *arguments: object) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], cwd=PROJECT_ROOT)


def counted(path: Path) -> int:
    with DuckDBWarehouse(path).session() as session:
        session.execute("create table if not exists t (n integer)")
        [(count,)] = session.execute("select count(*) from t")
    return int(count)


@pytest.mark.parametrize("length", range(0, 20_481, 4096))
def test_killed_at_any_write_the_file_is_whole_or_not_there(tmp_path: Path, length: int) -> None:
    path = tmp_path / "shop.duckdb"

    ended = started(KILLED_BEYOND + MAKE_IT, path, length).wait(60)

    assert ended in (0, -signal.SIGXFSZ)
    assert ended == -signal.SIGXFSZ or length >= 12_288
    assert not path.exists() or path.stat().st_size >= 12_288
    assert counted(path) in (0, 1)


@pytest.mark.parametrize("length", CUT_SHORT)
def test_what_duckdb_itself_leaves_when_killed_is_made_again(
    tmp_path: Path, length: int, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "shop.duckdb"
    assert started(KILLED_BEYOND + DUCKDB_MAKES_IT, path, length).wait(60) == -signal.SIGXFSZ
    assert path.stat().st_size == length
    with pytest.raises(duckdb.IOException):
        duckdb.connect(path)

    with caplog.at_level(logging.WARNING):
        assert counted(path) == 0

    assert f"{path} was cut short while it was being made and held no row" in caplog.text
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_a_log_without_its_database_is_kept_and_stops_nothing(tmp_path: Path) -> None:
    path = tmp_path / "shop.duckdb"
    with StreamDuckDBWarehouse(path).session() as session:
        session.execute("create table t as select 1 as n")
    rows = path.with_name("shop.duckdb.wal").read_bytes()
    os.truncate(path, 4096)

    assert counted(path) == 0

    [kept] = tmp_path.glob("shop.duckdb.*.wal")
    assert kept.read_bytes() == rows


@pytest.mark.parametrize("content", [b"do not touch", b"do not touch" * 500])
def test_a_short_file_of_another_kind_stays_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)

    with pytest.raises(duckdb.IOException), DuckDBWarehouse(path).session():
        pass

    assert path.read_bytes() == content
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_a_file_that_a_living_process_is_making_is_left_to_it(tmp_path: Path) -> None:
    path = tmp_path / "shop.duckdb"
    code = (
        "import fcntl, sys\nfile = open(sys.argv[1], 'wb')\nfcntl.lockf(file, fcntl.LOCK_EX)\n"
        "print('made', flush=True)\nsys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as maker:
        assert maker.stdin
        assert maker.stdout
        assert maker.stdout.readline() == b"made\n"
        inode = path.stat().st_ino
        with (
            pytest.raises(duckdb.IOException) as raised,
            DuckDBWarehouse(path, lock_timeout_seconds=0).session(),
        ):
            pass
        assert is_lock_conflict(raised.value)
        assert path.stat().st_ino == inode
        maker.stdin.close()
    assert counted(path) == 0


@pytest.mark.slow
@pytest.mark.parametrize("length", [None, *CUT_SHORT])
def test_processes_that_come_first_together_share_one_file(tmp_path: Path, length: int | None) -> None:
    path = tmp_path / "shop.duckdb"
    if length is not None:
        with DuckDBWarehouse(path).session():
            pass
        os.truncate(path, length)
    # Nobody can make the file before all of them wait for the folder.
    folder = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)

    processes = [started("import sys\nfrom pathlib import Path\n" + MAKE_IT, path) for _ in range(4)]
    os.close(folder)

    assert [one.wait(120) for one in processes] == [0] * 4
    assert counted(path) == 4
    assert {one.name for one in tmp_path.iterdir()} <= {path.name, f"{path.name}.turn"}


@pytest.mark.slow
@pytest.mark.parametrize("length", CUT_SHORT)
def test_dbt_by_hand_makes_it_again_too(tmp_path: Path, length: int) -> None:
    path = tmp_path / "shop.duckdb"
    assert started(KILLED_BEYOND + DUCKDB_MAKES_IT, path, length).wait(60) == -signal.SIGXFSZ

    assert dbt_debug(tmp_path, path).wait(120) == 0

    assert counted(path) == 0


@pytest.mark.slow
@pytest.mark.parametrize("length", CUT_SHORT)
def test_dbt_by_hand_killed_as_the_first_leaves_nothing_in_the_way(tmp_path: Path, length: int) -> None:
    path = tmp_path / "shop.duckdb"

    assert dbt_debug(tmp_path, path, KILLED_BEYOND, length).wait(120) == -signal.SIGXFSZ

    assert not path.exists()
    assert dbt_debug(tmp_path, path).wait(120) == 0


def dbt_debug(
    folder: Path, path: Path, first: str = "import sys\n", *arguments: object
) -> "subprocess.Popen[bytes]":
    """Start the dbt command that only connects, in include/dbt as a person does; the log goes elsewhere."""
    code = (
        f"{first}from dbt.cli.main import cli\n"
        "cli(['--log-level-file', 'none', '--log-path', sys.argv[3], 'debug', '--target', 'duckdb'])"
    )
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.Popen(
        [sys.executable, "-P", "-c", code, path, *(map(str, arguments or (0,))), folder],
        cwd=DBT_PROJECT_DIR,
        env={**env, "DUCKDB_PATH": str(path)},
        stdout=subprocess.DEVNULL,
    )
