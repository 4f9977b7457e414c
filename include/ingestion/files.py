"""From whatever the shop delivers (CSV, gzip, XLSX, XLSX named .csv) to a plain UTF-8 CSV file."""

import codecs
import csv
import datetime as dt
import gzip
import hashlib
import logging
import re
import shutil
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

from airflow.sdk import ObjectStoragePath
from openpyxl import load_workbook
from openpyxl.utils.exceptions import InvalidFileException

from include.ingestion.datasets import Dataset
from include.ingestion.errors import IngestionError
from include.warehouse import CsvFile

log = logging.getLogger(__name__)

CHUNK_BYTES = 1 << 20
GZIP_MAGIC = b"\x1f\x8b"
ZIP_MAGIC = b"PK\x03\x04"
OLD_EXCEL_MAGIC = b"\xd0\xcf\x11\xe0"
WORKBOOK_ERRORS = (
    *(InvalidFileException, zipfile.BadZipFile, zlib.error, SyntaxError),  # a SyntaxError is of the XML
    *(KeyError, IndexError, ValueError, TypeError, AttributeError, EOFError, RuntimeError),
)
VERSION_KEYS = ("size", "ino", "mtime", "ETag", "etag", "md5Hash", "LastModified", "last_modified", "updated")


@dataclass(frozen=True)
class SourceFile:
    """A delivered file, ready to load. `checksum` (SHA-256) is of the file as delivered."""

    delivered: ObjectStoragePath
    version: tuple[Any, ...]
    part: str
    checksum: str
    csv: CsvFile
    ignored_columns: tuple[str, ...]

    @property
    def name(self) -> str:
        """The file's name as delivered."""
        return self.delivered.name

    def check_unchanged(self) -> None:
        """Raise IngestionError where the file is no longer the one that was opened; call it before commit."""
        if _version(self.delivered) != self.version:
            raise IngestionError(f"{self.name} changed while it was read; nothing of it was loaded.")


def find_files(location: str, dataset: Dataset) -> list[ObjectStoragePath]:
    """Return the data set's files in a folder or object-store URI, one a part, in order of their parts.

    Raises IngestionError where there is none, or where two files claim the same part.
    """
    if not location:
        raise IngestionError("No source folder is set: give source_location or the setting SOURCE_LOCATION.")
    try:
        found = {p: part for p in _list_files(location) if (part := dataset.part_of(p.name)) is not None}
    except (FileNotFoundError, NotADirectoryError) as error:
        raise IngestionError(f"Source folder {location} does not exist.") from error
    except PermissionError as error:
        raise IngestionError(f"Source folder {location} may not be read: {error}.") from error
    except (ValueError, ImportError) as error:  # an unknown scheme, or its provider is not installed
        raise IngestionError(f"Source {location} cannot be opened: {error}.") from error
    if not found:
        raise IngestionError(
            f"No file for {dataset.name} in {location}: expected a name like {dataset.aliases[0]}.csv."
        )
    for part, count in Counter(found.values()).items():
        if count > 1:
            names = sorted(path.name for path, p in found.items() if p == part)
            raise IngestionError(f"Several files claim to be {dataset.name}: {', '.join(names)}; keep one.")
    return sorted(found, key=lambda path: found[path])


def _list_files(location: str) -> list[ObjectStoragePath]:
    # Not Path.as_uri(): a blank would become %20, which no file system turns back.
    uri = location if "://" in location else f"file://{Path(location).expanduser().resolve()}"
    folder = ObjectStoragePath(uri)
    folder.fs.invalidate_cache()
    # Excel keeps a lock file ~$name.xlsx beside an open workbook.
    return [path for path in folder.iterdir() if not path.name.startswith((".", "~$")) and path.is_file()]


@contextmanager
def open_source(path: ObjectStoragePath, dataset: Dataset) -> Iterator[SourceFile]:
    """Yield the file as plain CSV; any copy on this machine goes when the block ends.

    Raises IngestionError where it is empty, unreadable, not UTF-8, or lacks a column.
    """
    with TemporaryDirectory(prefix="ingestion-") as folder:
        version = _version(path)
        local = _on_this_machine(path, Path(folder))
        checksum = _checksum(local, path.name)
        plain = _as_csv(local, path.name, Path(folder))
        columns = _header(plain, path.name)
        missing = [column for column in dataset.columns if column not in columns]
        if missing:
            raise IngestionError(
                f"{path.name} lacks the column(s) {', '.join(missing)}; it has {', '.join(columns)}."
            )
        ignored = tuple(column for column in columns if column not in dataset.all_columns)
        if ignored:
            log.warning("%s: columns that no model knows stay out: %s", path.name, ", ".join(ignored))
        yield SourceFile(
            delivered=path,
            version=version,
            part=dataset.part_of(path.name) or "",
            checksum=checksum,
            csv=CsvFile(plain, columns, tuple(column for column in dataset.all_columns if column in columns)),
            ignored_columns=ignored,
        )


def _version(path: ObjectStoragePath) -> tuple[Any, ...]:
    """What changes when the file does: size and whichever time stamp or tag its store keeps."""
    path.fs.invalidate_cache()  # a store's listing may be remembered
    try:
        info = path.fs.info(path.path)
    except FileNotFoundError as error:
        raise IngestionError(f"{path.name} vanished while it was read; nothing of it was loaded.") from error
    return tuple(info.get(key) for key in VERSION_KEYS)


def _on_this_machine(path: ObjectStoragePath, folder: Path) -> Path:
    """Return a copy, or a link: readers take * and [ in a path for patterns and trust an ending like .gz."""
    local = folder / "delivered"
    if path.protocol in {"file", "local", ""}:
        local.symlink_to(path.path)
        return local
    with path.open("rb") as remote, local.open("wb") as copy:
        shutil.copyfileobj(remote, copy, CHUNK_BYTES)
    return local


def _checksum(path: Path, name: str) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except PermissionError as error:
        raise IngestionError(f"{name} may not be read: permission denied.") from error


def _as_csv(path: Path, name: str, folder: Path) -> Path:
    """Return `path` itself or a plain CSV copy, judged by the content, not by the file's ending."""
    with path.open("rb") as file:
        magic = file.read(4)
    if not magic:
        raise IngestionError(f"{name} is empty.")
    if magic.startswith(GZIP_MAGIC):
        return _as_csv(_gunzip(path, name, folder), name, folder)
    if magic == OLD_EXCEL_MAGIC:
        raise IngestionError(
            f"{name} is an old (.xls) or encrypted Excel file; save it as plain .xlsx or CSV."
        )
    if magic == ZIP_MAGIC:
        return _xlsx_to_csv(path, name, folder / "workbook.csv")
    _check_text(path, name)
    return path


def _gunzip(path: Path, name: str, folder: Path) -> Path:
    plain = folder / f"{path.name}.unzipped"
    try:
        with gzip.open(path) as packed, plain.open("wb") as copy:
            shutil.copyfileobj(packed, copy, CHUNK_BYTES)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise IngestionError(f"{name} is a damaged gzip file: {error}.") from error
    return plain


def _check_text(path: Path, name: str) -> None:
    bad = _first_bad_byte(path)
    if bad is not None:
        with path.open("rb") as file:
            line = file.read(bad).count(b"\n") + 1
            byte = file.read(1)[0]
        raise IngestionError(
            f"{name} is not UTF-8 text (byte 0x{byte:02x} in line {line}); save it as UTF-8."
        )


def _first_bad_byte(path: Path) -> int | None:
    """Return the position of the first byte that is not UTF-8, or NUL, which UTF-16 is full of."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    read = 0
    with path.open("rb") as file:
        while True:
            chunk = file.read(CHUNK_BYTES)
            if (nul := chunk.find(0)) >= 0:
                return read + nul
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:  # its object begins with what the chunk before left over
                return read + len(chunk) - len(error.object) + error.start
            if not chunk:
                return None
            read += len(chunk)


def _header(path: Path, name: str) -> tuple[str, ...]:
    """Return the column names in lower case, blanks and punctuation as one underscore."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            first = next(csv.reader(file, strict=True), [])
        except csv.Error as error:
            raise IngestionError(f"{name} has an unreadable header in line 1: {error}.") from error
        has_rows = bool(file.read(CHUNK_BYTES).strip())
    if has_rows and not any(column.strip() for column in first):
        raise IngestionError(f"{name} has no header: its first line is blank.")
    columns = tuple(
        re.sub(r"\W+", "_", column.strip().lower()).strip("_") or f"unnamed_{number}"
        for number, column in enumerate(first, start=1)
    )
    twice = [column for column, count in Counter(columns).items() if count > 1]
    if twice:
        raise IngestionError(f"{name} has the column(s) {', '.join(twice)} more than once.")
    if not has_rows:
        raise IngestionError(f"{name} holds no rows below its header.")
    return columns


def _xlsx_to_csv(path: Path, name: str, target: Path) -> Path:
    """Write the first sheet as CSV, dates as ISO 8601, blank rows left out."""
    try:
        with path.open("rb") as file:  # a handle, since openpyxl judges a path by its ending
            sheet = load_workbook(file, read_only=True, data_only=True).worksheets[0]
            sheet.reset_dimensions()  # some programs write them wrong
            with target.open("w", encoding="utf-8", newline="") as out:
                _write_rows(sheet.iter_rows(values_only=True), out)
    except WORKBOOK_ERRORS as error:
        reason = " ".join(str(error).split())
        raise IngestionError(f"{name} is not a readable XLSX workbook: {reason}.") from error
    if target.stat().st_size == 0:
        raise IngestionError(f"{name} is empty.")
    return target


def _write_rows(rows: Iterator[tuple[Any, ...]], out: IO[str]) -> None:
    """Write the rows as wide as the header; formatted but blank rows and cells at the end stay out."""
    writer = csv.writer(out, lineterminator="\n")
    width = 0
    for row in rows:
        cells = [_text(cell) for cell in row]
        while cells and not cells[-1]:
            cells.pop()
        if cells:
            width = width or len(cells)
            writer.writerow(cells + [""] * (width - len(cells)))


def _text(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, dt.datetime):
        return cell.date().isoformat() if cell.time() == dt.time.min else cell.isoformat()
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell)
