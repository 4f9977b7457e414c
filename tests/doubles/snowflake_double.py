"""A test double of Snowflake: fakesnow's HTTP server with its known faults mended, in a process of its own.

The real snowflake-connector-python and the real dbt-snowflake talk to it. Everything lives in memory as long
as the process does, so dbt runs in other processes see each other's tables. Account, user and password may be
anything, and a role that a CREATE ROLE has made is held to its privileges (access_control.py). It shows that
statements run and do what they should on data of test size; it says nothing about Snowflake's speed or cost.

By hand: `python -m tests.doubles.snowflake_double --port-file FILE`, ended by SIGTERM or Ctrl-C.
In tests: `with start_double() as double: snowflake.connector.connect(**double.connect_arguments())`.
"""

import argparse
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import snowflake.connector

from include.settings import PROJECT_ROOT

BOOTSTRAP = PROJECT_ROOT / "include" / "snowflake" / "bootstrap.sql"
TEARDOWN = BOOTSTRAP.with_name("teardown.sql")
PLACEHOLDER = re.compile(r"<%\s*(\w+)\s*%>")  # as `snow sql` writes them
DATABASE = "MARKETING_INSIGHTS_DB"
START_SECONDS = 60


@dataclass(frozen=True)
class SnowflakeDouble:
    """A running double: where it listens, its process id and its log."""

    host: str
    port: int
    pid: int
    log_file: Path

    def connect_arguments(self, schema: str | None = "RAW", **more: Any) -> dict[str, Any]:
        """Return arguments for snowflake.connector.connect; database and schema are made on connecting."""
        return {
            "account": "double",
            "user": "double",
            "password": "double",
            "host": self.host,
            "port": self.port,
            "protocol": "http",
            "database": DATABASE,
            "schema": schema,
            "login_timeout": 20,
            "network_timeout": 20,
            "session_parameters": {"CLIENT_OUT_OF_BAND_TELEMETRY_ENABLED": False},
            **more,
        }

    def environment(self, user: str = "double") -> dict[str, str]:
        """Return the variables that lead the product to this double, by password."""
        return {
            "WAREHOUSE": "snowflake",
            "SNOWFLAKE_ACCOUNT": "double",
            "SNOWFLAKE_USER": user,
            "SNOWFLAKE_PASSWORD": "double",
            "SNOWFLAKE_HOST": self.host,
            "SNOWFLAKE_PORT": str(self.port),
            "SNOWFLAKE_PROTOCOL": "http",
        }

    def run_script(self, file: Path, **variables: str) -> None:
        """Run a file of statements as an administrator; `variables` are for its <% place-holders %>."""
        text = PLACEHOLDER.sub(lambda found: variables[found[1]], file.read_text(encoding="utf-8"))
        arguments = self.connect_arguments(role="ACCOUNTADMIN", database=None, schema=None)
        with snowflake.connector.connect(**arguments) as connection:
            connection.execute_string(text)

    def dbt_output(self, schema: str = "analytics", threads: int = 4) -> dict[str, Any]:
        """Return an output of a dbt profile that reaches this double."""
        return {
            "type": "snowflake",
            "account": "double",
            "user": "double",
            "password": "double",
            "host": self.host,
            "port": self.port,
            "protocol": "http",
            "database": DATABASE,
            "schema": schema,
            "warehouse": "double",
            "role": "double",
            "threads": threads,
            "connect_retries": 0,
            "retry_all": False,
        }


@contextmanager
def start_double() -> Iterator[SnowflakeDouble]:
    """Start a double with nothing in it and end it on leaving.

    Raises RuntimeError with the end of the server's log when it does not start.
    """
    with tempfile.TemporaryDirectory(prefix="snowflake_double_") as name:
        port_file, log_file = Path(name, "port"), Path(name, "log")
        command = [sys.executable, "-m", "tests.doubles.snowflake_double", "--port-file", str(port_file)]
        with log_file.open("wb") as log:
            # The child ends when the pipe closes, so it cannot outlive a test run that is killed.
            process = subprocess.Popen(
                [*command, "--until-stdin-closes"],
                cwd=PROJECT_ROOT,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            port = _wait_for_port(process, port_file, log_file)
            yield SnowflakeDouble("127.0.0.1", port, process.pid, log_file)
        finally:
            _end(process)


def _wait_for_port(process: subprocess.Popen[bytes], port_file: Path, log_file: Path) -> int:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if port_file.exists():
            return int(port_file.read_text(encoding="utf-8"))
        time.sleep(0.05)
    log = log_file.read_text(encoding="utf-8", errors="replace")
    raise RuntimeError(f"the Snowflake double did not start:\n{log[-2000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdin:
        process.stdin.close()


def serve(port_file: Path, port: int = 0, *, until_stdin_closes: bool = False) -> None:
    """Serve until SIGTERM; write the port to `port_file` as soon as connections are accepted."""
    import fakesnow.server
    import uvicorn
    from fakesnow.transforms import stage

    from include.garbage import collect_less
    from tests.doubles import access_control, fakesnow_shim

    collect_less()
    fakesnow_shim.install()
    access_control.install()
    # uvicorn raises the signal again once it has shut down; the files of the stages must go first.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server = uvicorn.Server(uvicorn.Config(fakesnow.server.app, log_level="warning"))
    if until_stdin_closes:
        threading.Thread(target=_stop_at_end_of_input, args=[server], daemon=True).start()
    try:
        with socket.create_server(("127.0.0.1", port)) as listener:
            temporary = port_file.with_name(f"{port_file.name}.tmp")
            temporary.write_text(str(listener.getsockname()[1]), encoding="utf-8")
            temporary.replace(port_file)
            server.run(sockets=[listener])
    finally:
        shutil.rmtree(stage.LOCAL_BUCKET_PATH, ignore_errors=True)


def _stop_at_end_of_input(server: Any) -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    server.should_exit = True


def main() -> None:
    """Run `python -m tests.doubles.snowflake_double`."""
    parser = argparse.ArgumentParser(description="A test double of Snowflake.")
    parser.add_argument("--port-file", type=Path, required=True, help="written once the double listens")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--until-stdin-closes", action="store_true")
    arguments = parser.parse_args()
    serve(arguments.port_file, arguments.port, until_stdin_closes=arguments.until_stdin_closes)


if __name__ == "__main__":
    main()
