"""Make a DuckDB file readable whose checkpoint was cut short: `python -m include.warehouse.repair`.

DuckDB 2.0 puts new metadata into the free parts of a block that is in use, and writes that block in place.
A process killed in the middle of it leaves old and new pages under the new checksum, and a file that does not
open: "Corrupt database file: computed checksum … does not match …". The parts in use are the same in both,
and what came after the last checkpoint is in the write-ahead log: only the checksum is wrong.

It is set right in a copy. Where that opens, and every row of it can be read, the copy takes the file's place,
and the damaged file stays beside it. Ends with 1, and nothing changed, where the damage is of another kind.
"""

import re
import shutil
from contextlib import closing
from pathlib import Path

import duckdb
import typer

from include.settings import get_settings
from include.warehouse.duckdb import DuckDBWarehouse, is_lock_conflict

LOCK_TIMEOUT_SECONDS = 60
CHECKSUM_BYTES = 8  # little-endian, at the start of a block

BACKUP = "\nRestore a backup, see docs/runbooks/batch.md."

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class NotRepairedError(Exception):
    """The file was not repaired; the message names it and says why, and what to do."""


@app.command()
def main() -> None:
    """Repair the file that DUCKDB_PATH names, if it does not open."""
    path = get_settings().duckdb_path
    try:
        rows = repair(path)
    except NotRepairedError as error:
        typer.echo(f"{error}\nNothing was changed.", err=True)
        raise typer.Exit(1) from error
    if rows is None:
        typer.echo(f"{path} opens, nothing to repair.")
    else:
        typer.echo(f"{path} is repaired: {rows} rows read. The damaged one is {_damaged(path)}.")


def repair(path: Path) -> int | None:
    """Return the number of rows of the repaired file, None where it needed no repair.

    Raises NotRepairedError where it is in use, or does not open for another reason.
    """
    if not path.exists():
        raise NotRepairedError(f"{path} does not exist")
    try:
        with DuckDBWarehouse(path, LOCK_TIMEOUT_SECONDS).session():
            return None
    except duckdb.Error as error:
        if is_lock_conflict(error):
            raise NotRepairedError(f"{path} is in use, which a damaged file cannot be: {error}") from error
        found = re.search(r"computed checksum (\d+) does not match .* in block at location (\d+)", str(error))
        if not found:
            raise NotRepairedError(f"{path} does not open, not for a checksum: {error}{BACKUP}") from error
        return _repair_copy(path, checksum=int(found[1]), location=int(found[2]))


def _repair_copy(path: Path, checksum: int, location: int) -> int:
    copy = path.with_name(f"{path.name}.repairing")
    try:
        for source, target in ((path, copy), (_log(path), _log(copy))):
            if source.exists():
                shutil.copy2(source, target)
        with copy.open("r+b") as file:
            file.seek(location)
            file.write(checksum.to_bytes(CHECKSUM_BYTES, "little"))
        rows = _read_all(copy)
        shutil.copy2(path, _damaged(path))
        if _log(path).exists():  # it belongs to the damaged file, which without it still does not open
            _log(path).replace(_log(_damaged(path)))
        copy.replace(path)
    except duckdb.Error as error:
        raise NotRepairedError(f"{path} is damaged in more than one place: {error}{BACKUP}") from error
    finally:
        for left in (copy, _log(copy)):
            left.unlink(missing_ok=True)
    return rows


def _read_all(path: Path) -> int:
    """Return the number of rows in all tables, after reading every column; closing checkpoints the log."""
    with closing(duckdb.connect(str(path))) as connection:
        tables = connection.execute("select schema_name, table_name from duckdb_tables()").fetchall()
        rows = 0
        for schema, table in tables:
            sql = f'select count(*), bit_xor(hash(one)) from "{schema}"."{table}" as one'  # noqa: S608 (its own names)
            [(count, _)] = connection.execute(sql).fetchall()
            rows += count
        return rows


def _log(path: Path) -> Path:
    return path.with_name(f"{path.name}.wal")


def _damaged(path: Path) -> Path:
    return path.with_name(f"{path.name}.damaged")


if __name__ == "__main__":
    app()
