"""Which warehouse WAREHOUSE names: no other Python module knows both of them.

What differs between them in SQL of our own is a `Dialect`; dbt's side of it is in include/dbt/macros/dialect.
"""

from dataclasses import dataclass

from include.settings import Settings, get_settings
from include.warehouse.base import Role, Warehouse

# A process that stores all the time tries again itself, and in between it can be stopped.
STREAM_LOCK_TIMEOUT_SECONDS = 2


@dataclass(frozen=True)
class Dialect:
    """What a process that writes streams has to know of its warehouse.

    After one of `errors` it is unknown whether anything was stored. A session is kept open between batches
    where opening one is slow and locks nobody out. `has_snowpipe`: Snowpipe Streaming can write to it.
    """

    json_type: str
    errors: tuple[type[Exception], ...]
    keeps_session: bool
    has_snowpipe: bool


def get_warehouse(settings: Settings | None = None, role: Role = "loader") -> Warehouse:
    """Return the warehouse that the setting WAREHOUSE names; nothing is opened yet.

    Who reads or writes what dbt builds takes the role "transformer", who writes events "streamer"; DuckDB
    knows no roles.
    """
    settings = settings or get_settings()
    if settings.warehouse == "snowflake":
        from include.warehouse.snowflake import SnowflakeWarehouse  # noqa: PLC0415 (its connector is slow to import)

        return SnowflakeWarehouse(role)
    from include.warehouse.duckdb import DuckDBWarehouse  # noqa: PLC0415

    return DuckDBWarehouse(settings.duckdb_path)


def query_errors(settings: Settings | None = None) -> tuple[type[Exception], ...]:
    """Return what the warehouse raises for a statement that it refuses."""
    if (settings or get_settings()).warehouse == "snowflake":
        from snowflake.connector.errors import Error  # noqa: PLC0415

        return (Error,)
    import duckdb  # noqa: PLC0415

    return (duckdb.Error,)


def get_stream_warehouse(settings: Settings | None = None) -> tuple[Warehouse, Dialect]:
    """Return the same warehouse, set up for small writes every second, and its dialect; nothing is opened."""
    settings = settings or get_settings()
    if settings.warehouse == "snowflake":
        from snowflake.connector.errors import Error  # noqa: PLC0415

        from include.warehouse.snowflake import NotConfiguredError, SnowflakeWarehouse  # noqa: PLC0415

        return SnowflakeWarehouse("streamer"), Dialect(
            json_type="variant",
            errors=(Error, NotConfiguredError, OSError),
            keeps_session=True,
            has_snowpipe=True,
        )
    import duckdb  # noqa: PLC0415

    from include.warehouse.duckdb import StreamDuckDBWarehouse  # noqa: PLC0415

    warehouse = StreamDuckDBWarehouse(settings.duckdb_path, STREAM_LOCK_TIMEOUT_SECONDS)
    return warehouse, Dialect(
        json_type="json using compression zstd",  # DuckDB would try every compression at each checkpoint
        errors=(duckdb.Error, OSError),
        keeps_session=False,
        has_snowpipe=False,
    )
