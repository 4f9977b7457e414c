"""An XLSX workbook as rows of text: what a cell shows, without what its format rounds or hides.

A date is ISO 8601, a percent cell `10%`, a whole number its digits. A number of more digits than Excel keeps
(15) has an exponent, as digits are lost: no typing takes it for a whole number. Hidden rows and columns are
data like others. What has no value of its own (an error, a formula never calculated, a merged cell) is named.
"""

import datetime as dt
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

from openpyxl import load_workbook
from openpyxl.styles.numbers import BUILTIN_FORMATS
from openpyxl.utils.exceptions import InvalidFileException
from openpyxl.worksheet._reader import FORMULA_TAG, VALUE_TAG, WorkSheetParser
from openpyxl.worksheet.cell_range import CellRange

from include.ingestion.datasets import DATASETS, Dataset
from include.ingestion.errors import IngestionError
from include.ingestion.unpacking import check_unpacked
from include.settings import get_settings

WORKBOOK_ERRORS = (
    *(InvalidFileException, zipfile.BadZipFile, zlib.error, SyntaxError),  # a SyntaxError is of the XML
    *(KeyError, IndexError, ValueError, TypeError, AttributeError, EOFError, RuntimeError),
    *(OverflowError, NotImplementedError),
)
EXACT_DIGITS = 15


@dataclass(frozen=True)
class Cell:
    """What a cell says; `fault` tells why it says nothing, where it should."""

    text: str
    fault: str | None = None


BLANK = Cell("")


class Sheet:
    """A sheet of an open workbook."""

    def __init__(self, book: Any, sheet: Any) -> None:
        self.title: str = sheet.title
        self.hidden: bool = sheet.sheet_state != "visible"
        self._book = book
        self._sheet = sheet
        self._merged: list[Any] = []

    def rows(self) -> Iterator[tuple[int, list[Cell]]]:
        """Yield the number of each row that is not blank, from 1, and its cells up to the last filled one."""
        percent = _percent_styles(self._book)
        with self._sheet._get_source() as source:
            parser = _Parser(
                source,
                self._sheet._shared_strings,
                data_only=True,
                epoch=self._book.epoch,
                date_formats=self._book._date_formats,
                timedelta_formats=self._book._timedelta_formats,
            )
            for number, found in parser.parse():
                cells = {cell["column"]: _cell(cell, percent) for cell in found}
                filled = [column for column, cell in cells.items() if cell.text.strip() or cell.fault]
                if filled:
                    yield number, [cells.get(column, BLANK) for column in range(1, max(filled) + 1)]
            self._merged = parser.merged_cells.mergeCell if parser.merged_cells else []

    def header(self) -> list[str]:
        """Return the texts of the first row that is not blank."""
        return next(iter(self.top(1)), [])

    def top(self, count: int = 50) -> list[list[str]]:
        """Return the texts of the first rows that are not blank."""
        return [[cell.text for cell in cells] for _, cells in islice(self.rows(), count)]

    def merged_below(self, header: int, last: int) -> list[CellRange]:
        """Return the ranges of merged cells among the rows, once `rows()` was read to its end."""
        return [found for found in self._merged if found.max_row > header and found.min_row <= last]


class _Parser(WorkSheetParser):
    """openpyxl's, which cannot tell a formula without a calculated value from an empty cell."""

    def parse_cell(self, element: Any) -> dict[str, Any]:
        cell: dict[str, Any] = super().parse_cell(element)
        if cell["value"] is None and element.find(FORMULA_TAG) is not None:
            is_empty_text = element.get("t") == "str" and element.find(VALUE_TAG) is not None
            cell["data_type"] = "s" if is_empty_text else "f"
        return cell


def _percent_styles(book: Any) -> set[int]:
    """Return the ids of the cell styles that show a number as per cent."""

    def code(number: int) -> str:
        known = BUILTIN_FORMATS.get(number)
        return known if known is not None else book._number_formats[number - 164]

    literal = re.compile(r'"[^"]*"|\\.|\[[^\]]*\]')
    return {
        place for place, style in enumerate(book._cell_styles) if "%" in literal.sub("", code(style.numFmtId))
    }


def _cell(found: dict[str, Any], percent: set[int]) -> Cell:
    value, kind = found["value"], found["data_type"]
    if kind == "e":
        return Cell(str(value), f"holds the error {value}")
    if kind == "f":
        return Cell("", "holds a formula that was never calculated; open and save the file in Excel")
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Cell(f"{_number(value, 2)}%" if found["style_id"] in percent else _number(value))
    return Cell(_text(value))


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dt.datetime):
        rounded = value + dt.timedelta(microseconds=500_000)  # a serial number is never exact
        whole = rounded.replace(microsecond=0)
        return whole.date().isoformat() if whole.time() == dt.time.min else whole.isoformat()
    return str(value).upper() if isinstance(value, bool) else str(value)


def _number(value: float, shift: int = 0) -> str:
    """Return the digits of `value` times ten to the power of `shift`."""
    if isinstance(value, int):
        return str(value * 10**shift)
    if abs(value) >= 10**EXACT_DIGITS:
        return repr(value)
    # Beyond 15 digits there is only noise: 0.1 + 0.2 is 0.30000000000000004 in a file, 0.3 in Excel.
    digits = f"{Decimal(f'{value:.{EXACT_DIGITS}g}').scaleb(shift):f}"
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


@contextmanager
def open_workbook(path: Path, name: str) -> Iterator[list[Sheet]]:
    """Yield the sheets; raises IngestionError where the file, or what the block reads of it, is damaged."""
    try:
        _check_is_workbook(path, name)
        with path.open("rb") as file:  # a handle, since openpyxl judges a path by its ending
            book = load_workbook(file, read_only=True, data_only=True)
            yield [Sheet(book, sheet) for sheet in book.worksheets]
    except WORKBOOK_ERRORS as error:
        reason = " ".join(str(error).split())
        raise IngestionError(f"{name} is not a readable XLSX workbook: {reason}.") from error


def _check_is_workbook(path: Path, name: str) -> None:
    """Raise IngestionError for other kinds of file that are zip archives within."""
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        # Python reads no more of an entry than the size that is written beside it.
        unpacked = sum(entry.file_size for entry in archive.infolist())
    if "xl/workbook.bin" in names:
        raise IngestionError(f"{name} is a binary workbook (.xlsb); save it as plain .xlsx or CSV.")
    if "mimetype" in names and "content.xml" in names:
        raise IngestionError(f"{name} is an OpenDocument file; save it as .xlsx or CSV.")
    if "[Content_Types].xml" not in names:
        raise IngestionError(f"{name} is a zip archive; unpack it and deliver the file that it holds.")
    limit = get_settings().source_max_workbook_mb
    check_unpacked(name, path.stat().st_size, unpacked, limit, "SOURCE_MAX_WORKBOOK_MB")


def choose_sheets(sheets: list[Sheet], dataset: Dataset, name: str) -> tuple[list[Sheet], list[str]]:
    """Return the sheets that hold the data set's rows, and of the others, blank ones aside, why they do not.

    Every visible sheet with all of the data set's columns is one. Raises IngestionError for another one that
    may hold rows: hidden, with some of the columns, as wide as the data set, or with another data set's.
    """
    headers = {sheet.title: sheet.header() for sheet in sheets}
    filled = [sheet for sheet in sheets if headers[sheet.title]]
    chosen = [s for s in filled if not s.hidden and not _missing(dataset, headers[s.title])]
    if not chosen:
        visible = [sheet for sheet in filled if not sheet.hidden]
        if filled and not visible:
            raise IngestionError(
                f"{name} has its rows on the hidden sheet {filled[0].title!r}; let it be seen."
            )
        return visible[:1], []
    left_out = []
    for sheet in filled:
        if sheet in chosen:
            continue
        header, top = headers[sheet.title], sheet.top()
        is_like_ours = len(_missing(dataset, header)) < len(dataset.columns) or len(header) >= len(
            dataset.columns
        )
        has_a_header_below_a_title = any(
            not _missing(other, row) for row in top for other in DATASETS.values()
        ) or any(len(_missing(dataset, row)) <= len(dataset.columns) - 2 for row in top)
        if is_like_ours or has_a_header_below_a_title:
            raise IngestionError(
                f"{name} has a {'hidden ' if sheet.hidden else ''}sheet {sheet.title!r} beside"
                f" {chosen[0].title!r} that may hold rows of ours; give it the columns"
                f" {', '.join(dataset.columns)} and let it be seen, or remove it."
            )
        left_out.append(f"its sheet {sheet.title!r} has no column of {dataset.name}")
    return chosen, left_out


def _missing(dataset: Dataset, header: list[str]) -> set[str]:
    return set(dataset.columns).difference(filter(None, dataset.known_columns(header)))
