"""One way to reach the warehouse; `duckdb.py` and `snowflake.py` hold all that differs between the two."""

from include.settings import Settings, get_settings
from include.warehouse.base import ROW_NUMBER, CsvFile, LoadError, Role, Session, Warehouse

__all__ = ["ROW_NUMBER", "CsvFile", "LoadError", "Role", "Session", "Warehouse", "get_warehouse"]


def get_warehouse(settings: Settings | None = None, role: Role = "loader") -> Warehouse:
    """Return the warehouse that the setting WAREHOUSE names; nothing is opened yet.

    Who reads or writes what dbt builds takes the role "transformer"; DuckDB knows no roles.
    """
    settings = settings or get_settings()
    if settings.warehouse == "snowflake":
        from include.warehouse.snowflake import SnowflakeWarehouse  # noqa: PLC0415 (its connector is slow to import)

        return SnowflakeWarehouse(role)
    from include.warehouse.duckdb import DuckDBWarehouse  # noqa: PLC0415

    return DuckDBWarehouse(settings.duckdb_path)
