"""Make a damaged DuckDB file readable: `python -m include.warehouse.repair`.

Each block of the file has a checksum. Where one does not match ("Corrupt database file: computed checksum …
does not match …") there are two causes, and the file does not say which:

- A checkpoint was cut short. DuckDB 2.0 puts new metadata into the free parts of a block that is in use, and
  writes that block in place; a process killed in the middle of it leaves old and new pages under the new
  checksum. The parts in use are the same in both, and only the checksum is wrong.
- The disk or the memory altered the block. A single flipped bit is set right where no other flip would give
  the same checksum. More than one cannot be told from the first cause.

All is done in a copy. It takes the file's place, and the damaged file stays beside it, where the one bit was
found or `--accept-altered` was given. Otherwise it ends with 1 and nothing changed: a backup is better.
"""

import re
import shutil
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import typer

from include.settings import get_settings, run_command
from include.warehouse.contradictions import contradictions
from include.warehouse.duckdb import DuckDBSession, DuckDBWarehouse, is_lock_conflict
from include.warehouse.duckdb_file import HEADER_BYTES, log_of

LOCK_TIMEOUT_SECONDS = 60
CHECKSUM_BYTES = 8  # little-endian, at the start of a block
BLOCK_BYTES, HEADER_BLOCK_BYTES = 262_144, 4096
CHECKSUM_FACTOR, CHECKSUM_START = 0xBF58476D1CE4E5B9, 5381  # of DuckDB: start ^ word * factor ^ …

BACKUP = "\nRestore a backup, see docs/runbooks/batch.md."
ACCEPT = "--accept-altered"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class NotRepairedError(Exception):
    """The file was not repaired; the message names it and says why, and what to do."""


@dataclass(frozen=True)
class Damage:
    """A block whose checksum is not the one that its content gives; `location` in bytes."""

    checksum: int
    location: int


@dataclass(frozen=True)
class Repaired:
    """What a readable copy holds; `certain` where the one flipped bit was found."""

    rows: int
    certain: bool
    contradictions: tuple[str, ...]


@app.command()
def main(
    accept_altered: bool = typer.Option(
        False, ACCEPT, help="Take the file as it can be read, though it may have been altered."
    ),
) -> None:
    """Repair the file that DUCKDB_PATH names, if it does not open or cannot be read."""
    path = get_settings().duckdb_path
    try:
        done = repair(path, accept_altered=accept_altered)
    except NotRepairedError as error:
        typer.echo(f"{error}\nNothing was changed.", err=True)
        raise typer.Exit(1) from error
    if done is None:
        typer.echo(f"{path} opens and every row can be read, nothing to repair.")
        return
    what = "one flipped bit set right" if done.certain else "taken as it can be read, possibly altered"
    typer.echo(f"{path} is repaired ({what}): {done.rows} rows read. The damaged one is {_damaged(path)}.")
    for sentence in done.contradictions:
        typer.echo(f"  {sentence}.")


def repair(path: Path, *, accept_altered: bool = False) -> Repaired | None:
    """Return what the repaired file holds, None where it needed no repair.

    Raises NotRepairedError where it is in use, is damaged in another way, or may have been altered and that
    is not accepted.
    """
    if not path.exists():
        raise NotRepairedError(f"{path} does not exist")
    damage = _damage(path)
    if damage is None:
        return None
    copy = path.with_name(f"{path.name}.repairing")
    try:
        done = _repair_copy(path, copy, damage)
        if not (done.certain or accept_altered):
            raise NotRepairedError(_refusal(path, done))
        shutil.copy2(path, _damaged(path))
        if log_of(path).exists():  # it belongs to the damaged file, which without it still does not open
            log_of(path).replace(log_of(_damaged(path)))
        copy.replace(path)
    except duckdb.Error as error:
        raise NotRepairedError(f"{path} is damaged in more than one place: {error}{BACKUP}") from error
    finally:
        for left in (copy, log_of(copy)):
            left.unlink(missing_ok=True)
    return done


def _damage(path: Path) -> Damage | None:
    try:
        with DuckDBWarehouse(path, LOCK_TIMEOUT_SECONDS).session() as session:
            _read_all(session)
            return None
    except duckdb.Error as error:
        if is_lock_conflict(error):
            raise NotRepairedError(f"{path} is in use, which a damaged file cannot be: {error}") from error
        found = re.search(r"computed checksum (\d+) does not match .* in block at location (\d+)", str(error))
        if not found:
            raise NotRepairedError(f"{path} does not open, not for a checksum: {error}{BACKUP}") from error
        return Damage(checksum=int(found[1]), location=int(found[2]))


def _repair_copy(path: Path, copy: Path, damage: Damage) -> Repaired:
    for source, target in ((path, copy), (log_of(path), log_of(copy))):
        if source.exists():
            shutil.copy2(source, target)
    certain = _mend_block(copy, damage)
    with closing(duckdb.connect(str(copy))) as connection:
        session = DuckDBSession(connection)
        return Repaired(_read_all(session), certain, tuple(contradictions(session)))


def _mend_block(copy: Path, damage: Damage) -> bool:
    """Make the block's checksum match, and return whether its content is known to be what was written."""
    with copy.open("r+b") as file:
        file.seek(damage.location)
        block = file.read(HEADER_BLOCK_BYTES if damage.location < HEADER_BYTES else BLOCK_BYTES)
        whole = _without_flipped_bit(block)
        file.seek(damage.location)
        file.write(whole or damage.checksum.to_bytes(CHECKSUM_BYTES, "little"))
    return whole is not None


def _without_flipped_bit(block: bytes) -> bytes | None:
    """Return the block with a flipped bit set right, where one flip alone explains its checksum, or None.

    The high bits of a word count for little in DuckDB's checksum: many flips of them explain the same.
    """
    stored = int.from_bytes(block[:CHECKSUM_BYTES], "little")
    words = np.frombuffer(block, "<u8", offset=CHECKSUM_BYTES)
    hashes = words * np.uint64(CHECKSUM_FACTOR)
    wrong = stored ^ CHECKSUM_START ^ int(np.bitwise_xor.reduce(hashes))
    candidates = []
    if wrong.bit_count() == 1:
        candidates.append((stored ^ wrong).to_bytes(CHECKSUM_BYTES, "little") + block[CHECKSUM_BYTES:])
    for bit in range(64):
        flipped = (words ^ np.uint64(1 << bit)) * np.uint64(CHECKSUM_FACTOR)
        for place in np.flatnonzero((flipped ^ hashes) == np.uint64(wrong)):
            mended = words.copy()
            mended[place] ^= np.uint64(1 << bit)
            candidates.append(block[:CHECKSUM_BYTES] + mended.tobytes())
            if len(candidates) > 1:
                return None
    return candidates[0] if candidates else None


def _refusal(path: Path, done: Repaired) -> str:
    found = "".join(f"\n  {sentence}." for sentence in done.contradictions)
    return (
        f"{path} can be made readable with {done.rows} rows, possibly altered: prefer the backup"
        " (docs/runbooks/batch.md). Its checksum does not say whether a checkpoint was cut short, which"
        f" alters nothing, or the disk changed what it holds.{found or _NO_CONTRADICTION}"
        f"\nTo take it as it is: python -m include.warehouse.repair {ACCEPT}"
    )


_NO_CONTRADICTION = "\n  Offsets and messages, ledger, raw tables and keys agree with each other."


def _read_all(session: DuckDBSession) -> int:
    """Return the number of rows in all tables, after reading every column."""
    rows = 0
    for schema, table in session.execute("select schema_name, table_name from duckdb_tables()"):
        sql = f'select count(*), bit_xor(hash(one)) from "{schema}"."{table}" as one'  # noqa: S608 (its own names)
        [(count, _)] = session.execute(sql)
        rows += count
    return rows


def _damaged(path: Path) -> Path:
    return path.with_name(f"{path.name}.damaged")


if __name__ == "__main__":
    run_command(app)
