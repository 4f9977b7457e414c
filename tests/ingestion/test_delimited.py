"""An ordinary file is one that every reader takes alike: Arrow asks less of quotes than Python's csv does."""

import csv
import io
from pathlib import Path
from unittest import mock

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.ingestion import delimited
from include.warehouse import CsvFile, LoadError
from include.warehouse.duckdb import DuckDBSession
from tests.ingestion.conftest import HEADER, Shop

LOCATION = HEADER.rstrip("\n").split(",").index("Location")


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ('"Chicago, IL"', "Chicago, IL"),
        (' "Chicago, IL"', "Chicago, IL"),
        ('5" disk', '5" disk'),
        ('"5"" disk"', '5" disk'),
        ('"say ""hi"""', 'say "hi"'),
        ('""', None),
        ('"two\nlines"', "two\nlines"),
        ("'Chicago'", "'Chicago'"),
        ("Chicago\\", "Chicago\\"),
    ],
)
def test_a_cell_is_read_as_it_is_meant(shop: Shop, cell: str, value: str | None) -> None:
    shop.deliver("customers.csv", f"{HEADER}1,F,{cell},12\n2,M,California,3\n")
    shop.ingest()
    assert [row[LOCATION] for row in shop.raw()] == [value, "California"]


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ('"Chicago', "a quote is opened here and never closed"),
        ('"Chicago"s', "a quote is closed within a cell; double the quotes inside it"),
        ('"Chicago\\"s"', "a quote is closed within a cell; double the quotes inside it"),
        ('"Chicago" ', "a quote is closed within a cell; double the quotes inside it"),
    ],
)
def test_a_quote_that_could_mean_two_things_is_refused_with_its_line(
    shop: Shop, cell: str, reason: str
) -> None:
    shop.deliver("customers.csv", f"{HEADER}1,F,Chicago,12\n2,M,{cell},3\n")
    assert shop.complaint() == f"customers.csv cannot be read as CSV: line 3: {reason}."


CELLS = ["a", "", " ", '"a"', '"a""b"', '"', '""', 'a"b', ' "c"', '"d"e', '"f\ng"', '"h,i"', "\r", "ä"]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.lists(st.sampled_from(CELLS), min_size=1, max_size=3), min_size=1, max_size=8),
    end=st.sampled_from(["\n", "\r\n"]),
    bom=st.sampled_from(["", "\ufeff"]),
    chunk=st.integers(8, 40),
)
def test_arrow_reads_from_an_ordinary_file_what_python_reads(
    tmp_path: Path, rows: list[list[str]], end: str, bom: str, chunk: int
) -> None:
    text = f"x,y{end}" + "".join(",".join(row) + end for row in rows)
    path = tmp_path / "rows.csv"
    path.write_bytes((bom + text).encode())
    with mock.patch.object(delimited, "CHUNK_BYTES", chunk):
        if not delimited.is_ordinary(path):
            return
    _, *expected = csv.reader(io.StringIO(text, newline=""), strict=True)
    with duckdb.connect() as connection:
        connection.execute("create table rows (x varchar, y varchar, _source_row bigint)")
        try:
            DuckDBSession(connection).load_csv("rows", CsvFile(path, ("x", "y"), ("x", "y")), {})
        except LoadError:
            assert any(len(row) != 2 for row in expected)
            return
        loaded = connection.execute("select x, y, _source_row from rows").fetchall()
    assert loaded == [(*(cell or None for cell in row), n) for n, row in enumerate(expected, 1)]


@pytest.mark.parametrize("chunk", range(12, 24))
def test_a_cell_of_two_lines_is_ordinary_wherever_a_chunk_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    """Or each file with one would be read row by row, which takes ten times as long."""
    (tmp_path / "rows.csv").write_text("x,y\n" + '1,"two\n""lines"""\n' * 20, encoding="utf-8")
    monkeypatch.setattr(delimited, "CHUNK_BYTES", chunk)
    assert delimited.is_ordinary(tmp_path / "rows.csv")
