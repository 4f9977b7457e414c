"""What dbt does before it opens the DuckDB file; profiles.yml names this module as a plugin of dbt-duckdb."""

from pathlib import Path
from typing import Any

from dbt.adapters.duckdb.plugins import BasePlugin
from typing_extensions import override

from include.warehouse.duckdb_file import ensure_file


class Plugin(BasePlugin):
    """Lets dbt be the first to use the warehouse: a kill then leaves no file that does not open."""

    @override
    def update_connection_config(self, creds: Any, config: dict[str, Any]) -> None:
        """Called before each connect."""
        if creds.path != ":memory:":
            ensure_file(Path(creds.path))
