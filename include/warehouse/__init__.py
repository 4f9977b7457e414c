"""One interface to the warehouse (`base.py`), served by DuckDB and by Snowflake; `dialect.py` chooses."""

from include.warehouse.base import (
    ROW_NUMBER,
    CsvFile,
    Finding,
    LoadError,
    NotReachableError,
    Role,
    Session,
    Warehouse,
)
from include.warehouse.dialect import get_warehouse

__all__ = [
    "ROW_NUMBER",
    "CsvFile",
    "Finding",
    "LoadError",
    "NotReachableError",
    "Role",
    "Session",
    "Warehouse",
    "get_warehouse",
]
