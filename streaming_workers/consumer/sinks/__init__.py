"""Where the consumer stores events: which sink, by the settings."""

from functools import partial

from include.settings import Settings, SnowflakeSettings
from include.warehouse import Warehouse
from include.warehouse.dialect import Dialect, get_stream_warehouse
from streaming_workers.consumer.sinks.base import OffsetConflictError, Sink, SinkError
from streaming_workers.consumer.sinks.warehouse import WarehouseSink
from streaming_workers.settings import ConsumerSettings

__all__ = ["OffsetConflictError", "Sink", "SinkError", "get_sink"]


def get_sink(settings: Settings | None = None, consumer: ConsumerSettings | None = None) -> Sink:
    """Return the sink of the warehouse that the setting WAREHOUSE names; nothing is opened yet.

    Raises ValueError where a setting that the sink needs is missing.
    """
    warehouse, dialect = get_stream_warehouse(settings)
    if dialect.has_snowpipe and (consumer or ConsumerSettings()).snowflake_sink == "snowpipe":
        return _snowpipe_sink(warehouse, dialect)
    return WarehouseSink(warehouse, dialect)


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
