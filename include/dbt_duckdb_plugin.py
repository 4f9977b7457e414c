"""What dbt does with the DuckDB file beside its models: profiles.yml names this plugin of dbt-duckdb."""

import time
from pathlib import Path
from typing import Any

from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.adapters.duckdb.plugins import BasePlugin
from typing_extensions import override

from include.warehouse.duckdb_file import ensure_file
from include.warehouse.turns import Turn

KEEP_SECONDS = 0.5
TURN_SECONDS = 1
PAUSE_SECONDS = 30


class Plugin(BasePlugin):
    """Lets dbt be the first to use the warehouse, and the consumer store while dbt builds.

    By itself, dbt-duckdb keeps the file open from its first node to its last. Where the consumer waits for
    it, it is closed as soon as no node runs, if it was open for KEEP_SECONDS, and opened again after the
    consumer's turn. Where that is not over within TURN_SECONDS, as a frozen process's, it is kept for
    PAUSE_SECONDS.
    """

    @override
    def initialize(self, plugin_config: dict[str, Any]) -> None:
        self._keeping = (
            Keeping(Path(self.creds.path)) if self.creds and self.creds.path != ":memory:" else None
        )

    @override
    def update_connection_config(self, creds: Any, config: dict[str, Any]) -> None:
        """Called before each connect: a kill then leaves no file that does not open."""
        if self._keeping is not None:
            ensure_file(self._keeping.path)
            self._keeping.begin()

    @override
    def configure_connection(self, conn: Any) -> None:
        """Called after it."""
        if self._keeping is not None:
            self._keeping.opened()

    @override
    def configure_cursor(self, cursor: Any) -> None:
        """Called at the start of each node; the environment asks for its truth whenever no node runs."""
        if self._keeping is not None:
            DuckDBConnectionManager.env()._keep_open = self._keeping


class Keeping:
    """Whether to keep the file open, as dbt-duckdb's setting keep_open, but asked each time.

    That setting is all or nothing, and closing after every node takes a third longer.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._turn = Turn(path)
        self._until = 0.0

    def begin(self) -> None:
        """Wait for the turn of others; dbt-duckdb would sleep for a second after a try that meets one."""
        in_turn = not self._turn.is_known or (
            self._turn.take(TURN_SECONDS) and self._turn.wait_until_free(TURN_SECONDS)
        )
        self._until = time.monotonic() + (KEEP_SECONDS if in_turn else PAUSE_SECONDS)

    def opened(self) -> None:
        """Let the next one wait for the file."""
        self._turn.release()

    def __bool__(self) -> bool:
        """Return whether nobody waits for the file, or it was opened only just now."""
        return time.monotonic() < self._until or not self._turn.is_wanted()
