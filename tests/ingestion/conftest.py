"""A shop's folder, an empty warehouse and short ways to use both."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook

from include.ingestion.datasets import DATASETS
from include.ingestion.errors import IngestionError
from include.ingestion.loader import LoadResult, ingest
from include.warehouse.duckdb import DuckDBWarehouse

HEADER = "CustomerID,Gender,Location,Tenure_Months\n"
TWO_ROWS = "1,F,Chicago,12\n2,M,California,3\n"
CUSTOMERS = HEADER + TWO_ROWS

Rows = list[tuple[Any, ...]]
WriteXlsx = Callable[[str, list[list[Any]]], Path]


@dataclass
class Shop:
    """A folder that files are delivered to, and the warehouse that they go into."""

    folder: Path
    warehouse: DuckDBWarehouse

    def deliver(self, name: str, content: str | bytes = CUSTOMERS) -> Path:
        """Put a file into the folder, in place of one with this name."""
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def ingest(self, dataset: str = "customers") -> list[LoadResult]:
        """Load the data set from the folder."""
        return ingest(self.warehouse, str(self.folder), dataset)

    def complaint(self, dataset: str = "customers") -> str | None:
        """Load the data set from the folder and return what ingestion says against it, but for the folder."""
        try:
            self.ingest(dataset)
        except IngestionError as error:
            return str(error).removesuffix(f" It lies in {self.folder}.")
        return None

    def query(self, sql: str) -> Rows:
        """Return the rows of one statement."""
        with self.warehouse.session() as session:
            return session.execute(sql)

    def raw(self, dataset: str = "customers") -> Rows:
        """Return the raw table's source columns, row by row as in the files."""
        columns = ", ".join(DATASETS[dataset].columns)
        return self.query(f"select {columns} from raw.{dataset} order by _source_file, _source_row")

    def state(self) -> tuple[Rows, Rows]:
        """Return everything in raw.customers and in the ledger, row ids included."""
        return (
            self.query("select rowid, * from raw.customers order by rowid"),
            self.query("select * from raw.ingestion_ledger order by loaded_at"),
        )


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """Return an empty folder and an empty warehouse."""
    folder = tmp_path / "inbox"
    folder.mkdir()
    return Shop(folder, DuckDBWarehouse(tmp_path / "warehouse" / "test.duckdb"))


@pytest.fixture
def write_xlsx(shop: Shop) -> WriteXlsx:
    """Return a function that writes rows into the first sheet of a workbook in the shop's folder."""

    def write(name: str, rows: list[list[Any]]) -> Path:
        book = Workbook()
        for row in rows:
            book.worksheets[0].append(row)
        path = shop.folder / name
        with path.open("wb") as file:
            book.save(file)
        return path

    return write
