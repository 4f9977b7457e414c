"""The interface that both warehouses serve."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import pyarrow

Times: TypeAlias = "np.ndarray[tuple[int], np.dtype[np.datetime64]]"
"""A column of times in UTC, NaT where there is none: many times quicker than as many objects."""

# Who works: the loader writes raw files, the streamer events, the transformer builds and reads all that
# follows from them. On Snowflake each is a role with its own virtual warehouse.
Role = Literal["loader", "streamer", "transformer"]


ROW_NUMBER = "_source_row"


class LoadError(Exception):
    """The warehouse could not read a file; the message says where and why, in one sentence."""


class NotReachableError(Exception):
    """There is no connection; the message says to what, as whom and why."""


@dataclass(frozen=True)
class Finding:
    """One thing that a role needs, and whether it has it; `remedy` is the statement that grants it."""

    role: str
    need: str
    ok: bool
    remedy: str = ""


@dataclass(frozen=True)
class CsvFile:
    """A plain UTF-8, comma-separated file on this machine with one header line.

    Its quotes are well-formed: each opens a cell, closes it, or is one of a pair within it. `columns` names
    every column in file order; `select` those that go into the table. Where ROW_NUMBER is one of them, it
    gives the number of each row.
    """

    path: Path
    columns: tuple[str, ...]
    select: tuple[str, ...]


class Session(ABC):
    """One open connection."""

    @abstractmethod
    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement with `?` place-holders and return its rows."""

    @abstractmethod
    def read_arrow(self, sql: str) -> "pyarrow.Table":
        """Return a query's rows as an Arrow table, for many rows: it needs pyarrow."""

    def create_schema(self, name: str) -> None:
        """Create a schema that does not exist."""
        self.execute(f"create schema if not exists {name}")

    def prepare_load(self) -> None:  # noqa: B027 (DuckDB needs nothing)
        """Create what `load_csv` needs; call it before `transaction()`, since DDL commits on Snowflake.

        The schema `raw` must exist.
        """

    @abstractmethod
    def load_csv(self, table: str, file: CsvFile, metadata: dict[str, Any]) -> int:
        """Append `file` to `table` in bulk, all columns as text, and return the number of rows.

        `metadata` becomes constant columns beside them. `_source_row` is what the file says it is, or else
        counts the file's rows from 1.
        Call it after `prepare_load()`, inside `transaction()`.
        Raises LoadError where the file cannot be read.
        """

    @abstractmethod
    def insert_rows(
        self,
        table: str,
        columns: Mapping[str, "Sequence[Any] | Times"],
        *,
        constants: Mapping[str, Any] | None = None,
        json_columns: Collection[str] = (),
    ) -> None:
        """Append rows in bulk, given as one list of values a column; all lists are of one length.

        A column holds text, whole numbers or aware times, and None, or it is Times; one that `json_columns`
        names holds JSON, all as text or all as bytes in UTF-8. `constants` are further columns, of one value
        each. Call it inside `transaction()`: on Snowflake a large load is several statements.
        """

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what the block does as a whole, or nothing of it."""
        self.execute("begin")
        try:
            yield
        except BaseException:
            self.execute("rollback")
            raise
        self.execute("commit")


class Warehouse(ABC):
    """Where the tables live."""

    @abstractmethod
    def session(self) -> AbstractContextManager[Session]:
        """Open a connection late and close it at once: a DuckDB file has one writer process at a time."""

    @abstractmethod
    def reading(self) -> AbstractContextManager[Session]:
        """Open a connection for queries; raises NotReachableError."""

    @abstractmethod
    def check(self) -> list[Finding]:
        """Connect, and return a finding for each thing that the product needs. Raises NotReachableError."""


def aware(times: Times) -> list[datetime | None]:
    """Return the times as objects, for what takes no arrays."""
    return [one and one.replace(tzinfo=UTC) for one in times.astype(object)]
