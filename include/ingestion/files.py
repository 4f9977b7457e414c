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
    folder = ObjectStoragePath(location if "://" in location else Path(location).resolve().as_uri())
    try:
        found = {p: part for p in folder.iterdir() if (part := dataset.part_of(p.name)) is not None}
    except (FileNotFoundError, NotADirectoryError) as error:
        raise IngestionError(f"Source folder {location} does not exist.") from error
    if not found:
        raise IngestionError(
            f"No file for {dataset.name} in {location}: expected a name like {dataset.aliases[0]}.csv or .xlsx."
        )
    for part, count in Counter(found.values()).items():
        if count > 1:
            names = sorted(path.name for path, p in found.items() if p == part)
            raise IngestionError(f"Several files claim to be {dataset.name}: {', '.join(names)}; keep one.")
    return sorted(found, key=lambda path: found[path])


@contextmanager
def open_source(path: ObjectStoragePath, dataset: Dataset) -> Iterator[SourceFile]:
    """Yield the file as plain CSV; any copy on this machine goes when the block ends.

    Raises IngestionError where it is empty, unreadable, not UTF-8, or lacks a column.
    """
    with TemporaryDirectory(prefix="ingestion-") as folder:
        version = _version(path)
        local = _on_this_machine(path, Path(folder))
        checksum = _checksum(local)
        plain = _as_csv(local, path.name, Path(folder))
        columns = _header(plain, path.name)
        missing = [column for column in dataset.columns if column not in columns]
        if missing:
            raise IngestionError(
                f"{path.name} lacks the column(s) {', '.join(missing)}; it has {', '.join(columns)}."
            )
        ignored = tuple(column for column in columns if column not in dataset.columns)
        if ignored:
            log.warning("%s: columns that no model knows stay out: %s", path.name, ", ".join(ignored))
        yield SourceFile(
            delivered=path,
            version=version,
            part=dataset.part_of(path.name) or "",
            checksum=checksum,
            csv=CsvFile(plain, columns, dataset.columns),
            ignored_columns=ignored,
        )


def _version(path: ObjectStoragePath) -> tuple[Any, ...]:
    """What changes when the file does: size and whichever time stamp or tag its store keeps."""
    try:
        info = path.fs.info(path.path)
    except FileNotFoundError as error:
        raise IngestionError(f"{path.name} vanished while it was read; nothing of it was loaded.") from error
    return tuple(info.get(key) for key in ("size", "ino", "mtime", "ETag", "etag", "md5Hash", "LastModified"))


def _on_this_machine(path: ObjectStoragePath, folder: Path) -> Path:
    if path.protocol in {"file", "local", ""}:
        return Path(path.path)
    local = folder / "delivered"
    with path.open("rb") as remote, local.open("wb") as copy:
        shutil.copyfileobj(remote, copy, CHUNK_BYTES)
    return local


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _as_csv(path: Path, name: str, folder: Path) -> Path:
    """Return `path` itself or a plain CSV copy, judged by the content, not by the file's ending."""
    with path.open("rb") as file:
        magic = file.read(4)
    if not magic:
        raise IngestionError(f"{name} is empty.")
    if magic.startswith(GZIP_MAGIC):
        return _as_csv(_gunzip(path, name, folder), name, folder)
    if magic == OLD_EXCEL_MAGIC:
        raise IngestionError(f"{name} is an old Excel file (.xls); save it as .xlsx or CSV.")
    if magic == ZIP_MAGIC:
        return _xlsx_to_csv(path, name, folder / "workbook.csv")
    _check_utf8(path, name)
    return path


def _gunzip(path: Path, name: str, folder: Path) -> Path:
    plain = folder / "unzipped"
    try:
        with gzip.open(path) as packed, plain.open("wb") as copy:
            shutil.copyfileobj(packed, copy, CHUNK_BYTES)
    except (OSError, EOFError) as error:
        raise IngestionError(f"{name} is a damaged gzip file: {error}.") from error
    return plain


def _check_utf8(path: Path, name: str) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    read = 0
    with path.open("rb") as file:
        try:
            while chunk := file.read(CHUNK_BYTES):
                decoder.decode(chunk)
                read += len(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            raise IngestionError(
                f"{name} is not UTF-8 text (byte 0x{error.object[error.start]:02x} near position {read + error.start});"
                " save it as UTF-8."
            ) from error


def _header(path: Path, name: str) -> tuple[str, ...]:
    """Return the column names in lower case, blanks and punctuation as one underscore."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = next(csv.reader(file), [])
        has_rows = bool(file.read(CHUNK_BYTES).strip())
    columns = tuple(re.sub(r"\W+", "_", column.strip().lower()).strip("_") for column in first)
    twice = [column for column, count in Counter(columns).items() if count > 1]
    if twice:
        raise IngestionError(f"{name} has the column(s) {', '.join(twice)} more than once.")
    if not has_rows:
        raise IngestionError(f"{name} holds a header but no rows.")
    return columns


def _xlsx_to_csv(path: Path, name: str, target: Path) -> Path:
    """Write the first sheet as CSV, dates as ISO 8601."""
    try:
        with path.open("rb") as file:  # a handle, since openpyxl judges a path by its ending
            sheet = load_workbook(file, read_only=True, data_only=True).worksheets[0]
            with target.open("w", encoding="utf-8", newline="") as out:
                _write_rows(sheet.iter_rows(values_only=True), out)
    except (InvalidFileException, zipfile.BadZipFile, KeyError, IndexError) as error:
        raise IngestionError(f"{name} is not a readable XLSX workbook: {error}.") from error
    if target.stat().st_size == 0:
        raise IngestionError(f"{name} is empty.")
    return target


def _write_rows(rows: Iterator[tuple[Any, ...]], out: IO[str]) -> None:
    writer = csv.writer(out, lineterminator="\n")
    for row in rows:
        cells = [_text(cell) for cell in row]
        if any(cells):  # sheets often end in formatted but blank rows
            writer.writerow(cells)


def _text(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, dt.datetime):
        return cell.date().isoformat() if cell.time() == dt.time.min else cell.isoformat()
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell)
