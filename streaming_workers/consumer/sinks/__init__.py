"""Where the consumer stores events: which sink, by the settings."""

from functools import partial

import duckdb

from include.settings import Settings, SnowflakeSettings, get_settings
from include.warehouse import Warehouse
from include.warehouse.duckdb import DuckDBWarehouse
from streaming_workers.consumer.sinks.base import OffsetConflictError, Sink, SinkError
from streaming_workers.consumer.sinks.warehouse import Dialect, WarehouseSink
from streaming_workers.settings import ConsumerSettings

__all__ = ["OffsetConflictError", "Sink", "SinkError", "get_sink"]

# The consumer tries again itself, and in between it can be stopped.
LOCK_TIMEOUT_SECONDS = 0.5


def get_sink(settings: Settings | None = None, consumer: ConsumerSettings | None = None) -> Sink:
    """Return the sink of the warehouse that the setting WAREHOUSE names; nothing is opened yet.

    Raises ValueError where a setting that the sink needs is missing.
    """
    settings = settings or get_settings()
    if settings.warehouse == "duckdb":
        warehouse = DuckDBWarehouse(settings.duckdb_path, LOCK_TIMEOUT_SECONDS, threads=1, keeps_log=True)
        errors: tuple[type[Exception], ...] = (duckdb.Error, OSError)
        json_type = "json using compression zstd"  # DuckDB would try every compression at each checkpoint
        return WarehouseSink(warehouse, Dialect(json_type, errors, keeps_session=False))
    from snowflake.connector.errors import Error  # noqa: PLC0415 (the connector is slow to import)

    from include.warehouse.snowflake import NotConfiguredError, SnowflakeWarehouse  # noqa: PLC0415

    errors = (Error, NotConfiguredError, OSError)
    dialect = Dialect("variant", errors, keeps_session=True)
    if (consumer or ConsumerSettings()).snowflake_sink == "sql":
        return WarehouseSink(SnowflakeWarehouse(), dialect)
    return _snowpipe_sink(SnowflakeWarehouse(), dialect)


def _snowpipe_sink(warehouse: Warehouse, dialect: Dialect) -> Sink:
    """Return the sink of Snowpipe Streaming; raises ValueError where it could not log in."""
    from streaming_workers.consumer.sinks.snowpipe import SnowpipeSink, snowpipe_client  # noqa: PLC0415 (30 MB)

    login = SnowflakeSettings()
    if not (login.account and login.user and login.private_key_path):
        raise ValueError(
            "CONSUMER_SNOWFLAKE_SINK=snowpipe needs SNOWFLAKE_ACCOUNT, SNOWFLAKE_USER and"
            " SNOWFLAKE_PRIVATE_KEY_PATH: Snowpipe Streaming takes no password"
        )
    return SnowpipeSink(warehouse, dialect, partial(snowpipe_client, login))
