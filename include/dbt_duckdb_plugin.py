"""What dbt does with the DuckDB file beside its models: profiles.yml names this plugin of dbt-duckdb."""

import logging
import threading
import time
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.adapters.duckdb.environments.local import LocalEnvironment
from dbt.adapters.duckdb.plugins import BasePlugin
from typing_extensions import override

from include.warehouse.duckdb_file import Headers, ensure_file
from include.warehouse.turns import Turn, within

log = logging.getLogger(__name__)

KEEP_SECONDS = 0.5
IDLE_SECONDS = 0.05  # between two looks whether somebody waits
NODE_SECONDS = 2
TURN_SECONDS = 1
PAUSE_SECONDS = 30


class WrittenMeanwhileError(Exception):
    """Another process wrote to the file while it was being opened: to be opened again."""


class Plugin(BasePlugin):
    """Lets dbt be the first to use the warehouse, and the consumer store while dbt builds.

    By itself, dbt-duckdb keeps the file open from its first node to its last. Where the consumer waits and
    the file was open for KEEP_SECONDS, no node begins before those that run have ended; then the file is
    closed, and opened again after the consumer's turn. A node is waited for up to NODE_SECONDS, and a turn
    up to TURN_SECONDS; for who does not give it back, as a frozen process, not again for PAUSE_SECONDS.
    """

    @override
    def initialize(self, plugin_config: dict[str, Any]) -> None:
        path = self.creds.path if self.creds else ":memory:"
        self._path = None if path == ":memory:" else Path(path)
        self._turn = Turn(Path(path))
        self._keeps_until = 0.0
        self._headers: Headers | None = None

    @override
    def update_connection_config(self, creds: Any, config: dict[str, Any]) -> None:
        """Called before each connect: a kill then leaves no file that does not open."""
        if self._path is None:
            return
        ensure_file(self._path)
        # dbt-duckdb would sleep for a second after a try that meets another process.
        in_turn = not self._turn.is_known or (
            self._turn.take(TURN_SECONDS) and self._turn.wait_until_free(TURN_SECONDS)
        )
        self._keeps_until = time.monotonic() + (KEEP_SECONDS if in_turn else PAUSE_SECONDS)
        self._headers = Headers.of(self._path)

    @override
    def configure_connection(self, conn: Any) -> None:
        """Called after it."""
        self._turn.release()
        if self._headers and not self._headers.are_current():
            conn.close()
            raise WrittenMeanwhileError

    @override
    def configure_cursor(self, cursor: Any) -> None:
        """Called at the start of each node, by what this replaces at the first."""
        environment = DuckDBConnectionManager.env()
        if self._path is not None and "handle" not in vars(environment):
            # No cycle: dbt-duckdb closes the file when the last reference to the environment goes.
            reference = weakref.ref(environment)
            environment.handle = partial(self._handle, reference)
            threading.Thread(target=self._close_when_idle, args=[reference], daemon=True).start()

    def _handle(self, reference: Callable[[], Any]) -> Any:
        """Begin a node; dbt-duckdb begins no other meanwhile."""
        environment = reference()
        if self._is_due() and not within(NODE_SECONDS, partial(_close, environment)):
            self._keeps_until = time.monotonic() + 2 * KEEP_SECONDS
        return LocalEnvironment.handle(environment)

    def _close_when_idle(self, reference: Callable[[], Any]) -> None:
        """Close the file where no node begins for long: before the first, and after the last."""
        while (environment := reference()) is not None:
            if environment.conn is not None and self._is_due():
                _close(environment)
            del environment
            time.sleep(IDLE_SECONDS)

    def _is_due(self) -> bool:
        return time.monotonic() > self._keeps_until and self._turn.is_wanted()


def _opened(opens: Callable[..., Any], *arguments: Any) -> Any:
    """Open the file as dbt-duckdb does, until nobody wrote to it meanwhile."""
    while True:
        try:
            return opens(*arguments)
        except WrittenMeanwhileError:
            log.info("The file was written to while it was being opened: opened again")


LocalEnvironment.initialize_db = partial(_opened, LocalEnvironment.initialize_db)


def _close(environment: LocalEnvironment) -> bool:
    """Close the file if no node runs; returns whether it is closed."""
    with environment.lock:
        if environment.handle_count == 0:
            environment.close()
        return environment.conn is None
