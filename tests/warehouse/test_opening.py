"""What another process writes while DuckDB opens the file is seen, and is not lost."""

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from include.settings import PROJECT_ROOT
from tests.machine import wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="stops a process by a lease, which only Linux has"),
]

WAREHOUSE = """
import sys
from pathlib import Path
from include.warehouse.duckdb import {0}
with {0}(Path(sys.argv[1])).session() as session:
    session.execute("insert into t values ('ours')")
"""
# With what of profiles.yml is about opening the file.
DBT = """
import sys
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.adapters.duckdb.credentials import DuckDBCredentials
from dbt.adapters.duckdb.environments.local import LocalEnvironment
profile = {
    "path": sys.argv[1],
    "schema": "main",
    "plugins": [{"module": "include.dbt_duckdb_plugin"}],
    "retries": {"connect_attempts": 8, "retryable_exceptions": ["IOException"]},
}
environment = DuckDBConnectionManager._ENV = LocalEnvironment(DuckDBCredentials.from_dict(profile))
environment.handle().cursor().execute("insert into t values ('ours')")
environment.close()
"""


@pytest.mark.parametrize("kept_in_log", [False, True])
@pytest.mark.parametrize(
    "opens",
    [WAREHOUSE.format("DuckDBWarehouse"), WAREHOUSE.format("StreamDuckDBWarehouse"), DBT],
    ids=["session", "consumer", "dbt"],
)
def test_what_is_written_while_the_file_is_being_opened_is_kept(
    tmp_path: Path, opens: str, kept_in_log: bool
) -> None:
    path = tmp_path / "shop.duckdb"
    with duckdb.connect(path) as connection:
        connection.execute("create table t (whose text)")

    def write() -> None:
        with duckdb.connect(path) as connection:
            connection.execute("insert into t values ('theirs')")
        if kept_in_log:  # after the checkpoint, so the log fits the new headers alone
            with duckdb.connect(path) as connection:
                connection.execute("pragma disable_checkpoint_on_shutdown")
                connection.execute("insert into t values ('theirs, too')")

    written_while_opened(path, opens, write)

    with duckdb.connect(path) as connection:
        rows = connection.execute("from t order by all").fetchall()
    assert rows == [("ours",), ("theirs",), *[("theirs, too",)] * kept_in_log]


def written_while_opened(path: Path, opens: str, write: Callable[[], None]) -> None:
    """Run `opens` in a process, and `write` when DuckDB there has read the headers, but not locked the file.

    DuckDB reads them by one descriptor and locks another, which it opens for writing. A read lease, see
    fcntl(2), holds up just that: meanwhile the process is stopped, and goes on after the writing.
    """
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)  # which tells that somebody waits for the lease
    lease = os.open(path, os.O_RDONLY)
    fcntl.fcntl(lease, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    process = subprocess.Popen([sys.executable, "-c", opens, path], cwd=PROJECT_ROOT)
    try:
        wait_until(lambda: fcntl.fcntl(lease, fcntl.F_GETLEASE) != fcntl.F_RDLCK, "the lease to be broken")
        process.send_signal(signal.SIGSTOP)
        state = Path(f"/proc/{process.pid}/stat")
        wait_until(lambda: state.read_text().rpartition(") ")[2].startswith("T"), "the process to stop")
        fcntl.fcntl(lease, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        write()
        process.send_signal(signal.SIGCONT)
        assert process.wait(120) == 0
    finally:
        process.kill()
        process.wait()
        os.close(lease)
        signal.signal(signal.SIGIO, before)
