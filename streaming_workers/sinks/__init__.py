"""Where the consumer stores events; a further one (Snowpipe Streaming, say) is named here."""

import duckdb

from include.settings import Settings, get_settings
from include.warehouse.duckdb import DuckDBWarehouse
from streaming_workers.sinks.base import OffsetConflictError, Sink, SinkError
from streaming_workers.sinks.warehouse import Dialect, WarehouseSink

__all__ = ["OffsetConflictError", "Sink", "SinkError", "get_sink"]

# The consumer tries again itself, and in between it can be stopped.
LOCK_TIMEOUT_SECONDS = 0.5


def get_sink(settings: Settings | None = None) -> Sink:
    """Return the sink of the warehouse that the setting WAREHOUSE names; nothing is opened yet."""
    settings = settings or get_settings()
    if settings.warehouse == "duckdb":
        import pyarrow  # type: ignore[import-untyped]  # noqa: F401, PLC0415 (or the first batch waits for it)

        warehouse = DuckDBWarehouse(settings.duckdb_path, LOCK_TIMEOUT_SECONDS)
        return WarehouseSink(
            warehouse,
            Dialect("json", "timestamp with time zone", (duckdb.Error, OSError), keeps_session=False),
        )
    from snowflake.connector.errors import Error  # noqa: PLC0415 (the connector is slow to import)

    from include.warehouse.snowflake import NotConfiguredError, SnowflakeWarehouse  # noqa: PLC0415

    errors = (Error, NotConfiguredError, OSError)
    return WarehouseSink(SnowflakeWarehouse(), Dialect("variant", "timestamp_tz", errors, keeps_session=True))
