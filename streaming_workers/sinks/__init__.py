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
        warehouse = DuckDBWarehouse(settings.duckdb_path, LOCK_TIMEOUT_SECONDS, threads=1)
        errors: tuple[type[Exception], ...] = (duckdb.Error, OSError)
        json_type = "json using compression zstd"  # DuckDB would try every compression at each checkpoint
        return WarehouseSink(
            warehouse, Dialect(json_type, "timestamp with time zone", errors, keeps_session=False)
        )
    from snowflake.connector.errors import Error  # noqa: PLC0415 (the connector is slow to import)

    from include.warehouse.snowflake import NotConfiguredError, SnowflakeWarehouse  # noqa: PLC0415

    errors = (Error, NotConfiguredError, OSError)
    return WarehouseSink(SnowflakeWarehouse(), Dialect("variant", "timestamp_tz", errors, keeps_session=True))
