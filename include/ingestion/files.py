"""From whatever the shop delivers (CSV, gzip, XLSX, XLSX named .csv) to a plain UTF-8 CSV file.

An ordinary CSV file goes to the warehouse as it is. Everything else (a workbook, other delimiters, blank
rows, unusual line ends, a quote in the wrong place, and what the warehouse's reader refuses) is read row by
row and rewritten, with the number of each row in its file.
"""

import csv
import gzip
import hashlib
import logging
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from airflow.sdk import ObjectStoragePath
from openpyxl.utils import get_column_letter

from include.ingestion.datasets import CONTACTS, Dataset, squeezed
from include.ingestion.delimited import (
    Row,
    as_utf8,
    check_utf8,
    find_header,
    is_filled,
    is_ordinary,
    text_rows,
    unreadable,
    with_points_in_numbers,
)
from include.ingestion.errors import IngestionError
from include.ingestion.inbox import Version, on_this_machine, version_of
from include.ingestion.unpacking import NESTED, unpacked_chunks
from include.ingestion.workbooks import BLANK, Sheet, choose_sheets, open_workbook
from include.warehouse import ROW_NUMBER, CsvFile

log = logging.getLogger(__name__)

GZIP_MAGIC = b"\x1f\x8b"
ZIP_MAGIC = b"PK\x03\x04"
NAMELESS = "unnamed_"
FOREIGN_MAGIC = {
    b"\xd0\xcf\x11\xe0": "an old (.xls) or encrypted Excel file; save it as plain .xlsx or CSV",
    b"PK\x05\x06": "an empty zip archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive; unpack it and deliver the file that it holds",
    b"Rar!\x1a\x07": "a RAR archive; unpack it and deliver the file that it holds",
    b"BZh": "a bzip2 file; unpack it, or pack it with gzip",
    b"\xfd7zXZ\x00": "an xz file; unpack it, or pack it with gzip",
    b"\x28\xb5\x2f\xfd": "a Zstandard file; unpack it, or pack it with gzip",
    b"PAR1": "a Parquet file; deliver it as CSV or .xlsx",
    b"%PDF": "a PDF; deliver its table as CSV or .xlsx",
}


@dataclass(frozen=True)
class SourceFile:
    """A delivered file, ready to load. `checksum` (SHA-256) is of the file as delivered.

    `left_out` says of each sheet of a workbook that is not read why it is not.
    """

    delivered: ObjectStoragePath
    version: Version
    part: str
    checksum: str
    csv: CsvFile
    ignored_columns: tuple[str, ...]
    left_out: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The file's name as delivered."""
        return self.delivered.name

    def check_unchanged(self) -> None:
        """Raise IngestionError where the file is no longer the one that was opened; call it before commit."""
        if version_of(self.delivered) != self.version:
            raise IngestionError(f"{self.name} changed while it was read; nothing of it was loaded.")

    def row_by_row(self) -> "SourceFile":
        """Return the same file with its rows checked and rewritten, for one that a reader refuses.

        Raises IngestionError, naming the line, where the file is at fault and not the reader.
        """
        rows = text_rows(self.csv.path, self.name, ",")
        return replace(
            self, csv=_rewrite(rows, self.name, self.csv, self.csv.path.with_name("row_by_row.csv"))
        )


@contextmanager
def open_source(path: ObjectStoragePath, dataset: Dataset) -> Iterator[SourceFile]:
    """Yield the file as plain CSV; any copy on this machine goes when the block ends.

    Raises IngestionError where it is empty, unreadable, in an unknown encoding, or lacks a column.
    """
    with TemporaryDirectory(prefix="ingestion-") as folder, ThreadPoolExecutor(1) as beside:
        version = version_of(path)
        local = on_this_machine(path, Path(folder))
        checksum = beside.submit(_checksum, local)  # takes as long as the checks of the text do
        content = _unpacked(local, path.name)
        with content.open("rb") as file:
            is_zip = file.read(4) == ZIP_MAGIC
        read = _workbook_as_csv if is_zip else _text_as_csv
        table, ignored, left_out = read(content, path.name, dataset)
        if ignored:
            log.warning("%s: columns that no model knows stay out: %s", path.name, ", ".join(ignored))
        yield SourceFile(
            delivered=path,
            version=version,
            part=dataset.part_of(path.name) or "",
            checksum=checksum.result(),
            csv=table,
            ignored_columns=tuple(ignored),
            left_out=tuple(left_out),
        )


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unpacked(path: Path, name: str, level: int = 0) -> Path:
    """Return `path` itself or what gzip holds, judged by the content, not by the file's ending."""
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except PermissionError as error:
        raise IngestionError(f"{name} may not be read: permission denied.") from error
    if not start:
        raise IngestionError(f"{name} is empty.")
    if start.startswith(GZIP_MAGIC):
        if level == NESTED:
            raise IngestionError(f"{name} is packed more than {NESTED} times; deliver it packed once.")
        return _unpacked(_gunzip(path, name), name, level + 1)
    for magic, what in FOREIGN_MAGIC.items():
        if start.startswith(magic):
            raise IngestionError(f"{name} is {what}.")
    if start[257:262] == b"ustar":
        raise IngestionError(f"{name} is a tar archive; unpack it and deliver the file that it holds.")
    return path


def _gunzip(path: Path, name: str) -> Path:
    plain = path.with_name(f"{path.name}.unzipped")
    try:
        with gzip.open(path) as packed, plain.open("wb") as copy:
            copy.writelines(unpacked_chunks(packed, name, path.stat().st_size))
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise IngestionError(f"{name} is a damaged gzip file: {error}.") from error
    return plain


def _text_as_csv(path: Path, name: str, dataset: Dataset) -> tuple[CsvFile, list[str], list[str]]:
    """Return the file as it is, where it is ordinary, or a copy; then its unknown columns, and nothing."""
    path = as_utf8(path, name)
    check_utf8(path, name)
    delimiter, header = find_header(path, name, dataset)
    columns, ignored = _columns(header, name, dataset)
    table = CsvFile(path, columns, tuple(column for column in dataset.all_columns if column in columns))
    has_nameless = not all(map(squeezed, header))
    if delimiter == "," and not has_nameless and is_ordinary(path):
        return table, ignored, []
    rows = text_rows(path, name, delimiter)
    if delimiter != ",":
        rows = with_points_in_numbers(rows, table, name, delimiter)
    return _rewrite(rows, name, table, path.with_name("rows.csv")), ignored, []


def _columns(header: Sequence[str], name: str, dataset: Dataset) -> tuple[tuple[str, ...], list[str]]:
    """Return the data set's column, or a name made from the header, of each column; then the unknown ones.

    Raises IngestionError where one of the data set's is missing, or two headers come to one name.
    """
    if not header:
        raise IngestionError(f"{name} holds no rows.")
    twice = [key for key, count in Counter(map(squeezed, header)).items() if key and count > 1]
    if twice:
        raise IngestionError(f"{name} has the column(s) {', '.join(twice)} more than once.")
    columns = tuple(
        column or re.sub(r"\W+", "_", text.strip().lower()).strip("_") or f"{NAMELESS}{number}"
        for number, (text, column) in enumerate(zip(header, dataset.known_columns(header), strict=True), 1)
    )
    missing = [column for column in dataset.columns if column not in columns]
    if missing:
        is_data = CONTACTS & {*dataset.columns} and re.search(r"[@\d]", "".join(header))
        found = "its first row looks like data" if is_data else f"it has {', '.join(columns)}"
        raise IngestionError(f"{name} lacks the column(s) {', '.join(missing)}; {found}.")
    return columns, [column for column in columns if column not in dataset.all_columns]


def _rewrite(rows: Iterable[Row], name: str, table: CsvFile, target: Path) -> CsvFile:
    """Write the wanted columns of the rows below the header to `target`, with each row's number.

    Raises IngestionError where a row has other columns than the header, or there is none.
    """
    width = len(table.columns)
    nameless = [place for place, column in enumerate(table.columns) if column.startswith(NAMELESS)]
    wanted = [table.columns.index(column) for column in table.select]
    columns = (ROW_NUMBER, *table.select)
    number = 0
    with target.open("w", encoding="utf-8", newline="") as out:
        # All quoted: Python 3.11 would leave a carriage return bare.
        writer = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerow(columns)
        for place, number, cells in rows:
            if number == 0:
                continue
            if len(cells) < width or is_filled(cells[width:]):
                start = " ".join(",".join(cells)[:60].split())
                fault = f"{len(cells)} column(s), the header has {width}"
                raise unreadable(name, place if CONTACTS & {*columns} else f"{place} ({start})", fault)
            if is_filled(cells[column] for column in nameless):
                raise IngestionError(f"{name} has a cell in a column without a header: {place}.")
            writer.writerow([number, *(cells[column] for column in wanted)])
    if number == 0:
        raise IngestionError(f"{name} holds no rows below its header.")
    return CsvFile(target, columns, columns)


def _workbook_as_csv(path: Path, name: str, dataset: Dataset) -> tuple[CsvFile, list[str], list[str]]:
    """Return a copy of the sheets' rows, the unknown columns, and what is left out of the workbook."""
    with open_workbook(path, name) as sheets:
        chosen, left_out = choose_sheets(sheets, dataset, name)
        if not chosen:
            raise IngestionError(f"{name} is empty.")
        ignored = [
            column for sheet in chosen for column in _columns(sheet.header(), _named(name, sheet), dataset)[1]
        ]
        table = CsvFile(path, dataset.all_columns, dataset.all_columns)
        rows = _rewrite(_sheets_rows(chosen, name, dataset), name, table, path.with_name("workbook.csv"))
    return rows, list(dict.fromkeys(ignored)), left_out


def _named(name: str, sheet: Sheet) -> str:
    return f"{name}, sheet {sheet.title!r},"


def _sheets_rows(sheets: Iterable[Sheet], name: str, dataset: Dataset) -> Iterator[Row]:
    """Yield the rows of all sheets in the order of the data set's columns, numbered through."""
    number = 0
    for sheet in sheets:
        before = number
        for row in _sheet_rows(sheet, _named(name, sheet), dataset):
            number = before + row.number
            yield row._replace(number=number)


def _sheet_rows(sheet: Sheet, named: str, dataset: Dataset) -> Iterator[Row]:
    """Yield a sheet's rows; raises IngestionError where a cell of the data set has no value of its own."""
    rows = sheet.rows()
    header, names = next(rows)
    columns, _ = _columns([cell.text for cell in names], named, dataset)
    places = [columns.index(column) if column in columns else None for column in dataset.all_columns]
    wanted = [place for place in places if place is not None]
    last = header
    for last, found in rows:
        cells = found + [BLANK] * (len(columns) - len(found))
        if len(cells) > len(columns):
            raise IngestionError(f"{named} row {last} has a cell in a column without a header.")
        for column in wanted:
            if cells[column].fault:
                cell = f"{get_column_letter(column + 1)}{last}"
                raise IngestionError(f"{named} cell {cell} {cells[column].fault}.")
        yield Row(
            f"row {last}",
            last - header,
            [BLANK.text if place is None else cells[place].text for place in places],
        )
    for merged in sheet.merged_below(header, last):
        if any(merged.min_col <= column + 1 <= merged.max_col for column in wanted):
            raise IngestionError(f"{named} cells {merged.coord} are merged; give each a value of its own.")
