"""Delimited text: its encoding, delimiter and line ends, and its rows one by one."""

import codecs
import csv
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from include.ingestion.datasets import CONTACTS, Dataset
from include.ingestion.errors import IngestionError
from include.warehouse import CsvFile

# Of twice this size each chunk is memory new from the system, which costs more than the checks of it.
CHUNK_BYTES = 1 << 19
UTF_16_32 = {
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark is the start of this one
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
DELIMITERS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "vertical bars"}
DECIMAL_COMMA = re.compile(r"[-+]?[\d.' ]*\d,\d+ ?%?")
THOUSANDS_POINT = re.compile(r"[-+]?\d{1,3}(?:\.\d{3})+")
MAY_START_A_BLANK_ROW = np.isin(np.arange(256), list(b'\n\r\t ,"'))
BEFORE_A_QUOTE = np.isin(np.arange(256), list(b'\n,"'))
AFTER_A_QUOTE = np.isin(np.arange(256), list(b'\r\n,"'))
BLANK_ROW = re.compile(rb'(?:\A|\n)(?:[ \t\r,"]*\n|[ \t\r,"]+\Z)')


class Row(NamedTuple):
    """A row that is not blank: where it is, its number among the rows below the header, and its cells."""

    place: str
    number: int
    cells: list[str]


def as_utf8(path: Path, name: str) -> Path:
    """Return `path` itself, or a copy in UTF-8 where a byte order mark says what the file is in."""
    with path.open("rb") as file:
        start = file.read(4)
    encoding = next((encoding for bom, encoding in UTF_16_32.items() if start.startswith(bom)), None)
    if not encoding:
        return path
    copy = path.with_name("utf8.csv")
    try:
        with (
            path.open(encoding=encoding, newline="") as text,
            copy.open("w", encoding="utf-8", newline="") as out,
        ):
            shutil.copyfileobj(text, out, CHUNK_BYTES)
    except UnicodeError as error:
        raise IngestionError(f"{name} is damaged {encoding.upper()} text: {error}.") from error
    return copy


def check_utf8(path: Path, name: str) -> None:
    """Raise IngestionError at the first byte that is not UTF-8 text."""
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


def find_header(path: Path, name: str, dataset: Dataset) -> tuple[str, list[str]]:
    """Return the delimiter that finds most of the data set's columns in the header, and the header."""
    found: dict[str, list[str]] = {}
    fault: csv.Error | None = None
    for delimiter in DELIMITERS:
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                rows = csv.reader(file, delimiter=delimiter, strict=True)
                found[delimiter] = next((cells for cells in rows if is_filled(cells)), [])
        except csv.Error as error:
            fault = fault or error

    def known(delimiter: str) -> int:
        return sum(column is not None for column in dataset.known_columns(found[delimiter]))

    best = max(found, key=known, default=None)
    if best is None or (fault and not known(best)):
        raise IngestionError(f"{name} has an unreadable header in line 1: {fault}.") from fault
    return best, found[best]


def is_filled(cells: Iterable[str]) -> bool:
    """Return whether any cell holds more than blanks."""
    return any(cell and not cell.isspace() for cell in cells)


def is_ordinary(path: Path) -> bool:
    """Return whether any reader takes the same rows from the file.

    There are lines below the header, all end alike (LF or CRLF), none is blank, and a quote opens a cell,
    closes it, or is one of a pair within it.
    """
    lf = cr = crlf = quotes = 0
    with path.open("rb") as file:
        has_rows = file.readline(CHUNK_BYTES).count(b'"') % 2 == 0 and bool(file.read(1))
        file.seek(0)
        if file.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
            file.seek(0)
        line_ended = True
        while chunk := file.read(CHUNK_BYTES) + file.readline(CHUNK_BYTES):
            if not line_ended:
                return False  # it is longer than any reader takes
            line_ended = chunk.endswith(b"\n")
            found = np.frombuffer(chunk, np.uint8)
            if b'"' in chunk:
                places = np.flatnonzero(found == ord('"'))
                if not _are_paired(found, places, opens_first=quotes % 2 == 0):
                    return False
                quotes += len(places)
            ends = np.flatnonzero(found == ord("\n"))
            starts = found[np.append(0, ends[ends < len(found) - 1] + 1)]
            if MAY_START_A_BLANK_ROW[starts].any() and BLANK_ROW.search(chunk):
                return False
            lf += len(ends)
            cr += int(np.count_nonzero(found == ord("\r")))
            crlf += int(np.count_nonzero(found[ends[ends > 0] - 1] == ord("\r")))
    return has_rows and cr == crlf and cr in (0, lf) and quotes % 2 == 0


def _are_paired(text: np.ndarray[Any, Any], quotes: np.ndarray[Any, Any], *, opens_first: bool) -> bool:
    """Return whether each quote of these lines that opens a cell begins it, and each that closes one ends it.

    A pair within a cell closes it and opens it again.
    """
    opening, closing = quotes[not opens_first :: 2], quotes[opens_first::2]
    return bool(
        BEFORE_A_QUOTE[text[opening[opening > 0] - 1]].all()
        and AFTER_A_QUOTE[text[closing[closing < len(text) - 1] + 1]].all()
    )


def text_rows(path: Path, name: str, delimiter: str) -> Iterator[Row]:
    """Yield the rows that are not blank, the header first; blank ones count in the numbers of the others.

    Blanks before a cell are left out: with them, a quote would not open it.
    """
    line, header = 1, None
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True, skipinitialspace=True)
        try:
            for number, cells in enumerate(reader):
                if is_filled(cells):
                    header = number if header is None else header
                    yield Row(f"line {line}", number - header, cells)
                line = reader.line_num + 1
        except csv.Error as error:
            raise unreadable(name, f"line {line}", str(error)) from error


def unreadable(name: str, place: str, reason: str) -> IngestionError:
    """Return the error for a row; `reason` is ours, or that of Python's csv module, which is put in words."""
    if reason == "unexpected end of data":
        reason = "a quote is opened here and never closed"
    elif "field limit" in reason:
        reason = "a cell of more than 131,072 characters, as where a quote is never closed"
    elif "expected after" in reason:
        reason = "a quote is closed within a cell; double the quotes inside it"
    return IngestionError(f"{name} cannot be read as CSV: {place}: {reason}.")


def with_points_in_numbers(rows: Iterable[Row], table: CsvFile, name: str, delimiter: str) -> Iterator[Row]:
    """Yield the rows; raises IngestionError at a number that means another one where commas are decimal."""
    for row in rows:
        for column, cell in zip(table.columns, row.cells, strict=False):
            text = cell.strip()
            is_risky = DECIMAL_COMMA.fullmatch(text) or (delimiter == ";" and THOUSANDS_POINT.fullmatch(text))
            if is_risky and column in table.select and column not in CONTACTS:
                raise IngestionError(
                    f"{name} is separated by {DELIMITERS[delimiter]}; {row.place} has {text!r} as {column}:"
                    " write numbers with a decimal point and nothing between thousands."
                )
        yield row
