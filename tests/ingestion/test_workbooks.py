"""A workbook's cells arrive as what they are, from every sheet, or the cell and sheet are named."""

import datetime as dt
import re
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook

from tests.ingestion.conftest import HEADER, Shop, WriteXlsx

pytestmark = pytest.mark.slow  # files and processes: some seconds in all

FIRST_SHEET = "xl/worksheets/sheet1.xml"
SHARED = "application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
COLUMNS = HEADER.strip().split(",")
ROW = [1, "F", "Chicago", 12]


def save(shop: Shop, book: Workbook, name: str = "customers.xlsx") -> Path:
    path = shop.folder / name
    book.save(path)
    return path


def with_sheets(**sheets: list[list[Any]]) -> Workbook:
    """Return a workbook with these sheets and their rows."""
    book = Workbook()
    book.remove(book.worksheets[0])
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    return book


def rewrite_xml(path: Path, pattern: str, replacement: str, member: str = FIRST_SHEET) -> None:
    """Change the workbook's XML, of the first sheet or another member, for what openpyxl does not write."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    text, count = re.subn(pattern, replacement, members[member].decode())
    assert count
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (members | {member: text.encode()}).items():
            archive.writestr(name, content)


def location_of(shop: Shop, value: Any, number_format: str = "General") -> str | None:
    """Load a workbook with this value as the location of its one customer and return it as it arrived."""
    book = with_sheets(Customers=[COLUMNS, ROW])
    cell = book.worksheets[0]["C2"]
    cell.value = value
    cell.number_format = number_format
    save(shop, book)
    shop.ingest()
    [(_, _, location, _)] = shop.raw()
    return location


@pytest.mark.parametrize(
    ("value", "number_format", "expected"),
    [
        (0.1, "0%", "10%"),
        (0.1, "0.00%", "10%"),
        (0.07, "0%", "7%"),
        (0.29, "[Red]0.0%;-0.0%", "29%"),
        (0.175, "0%", "17.5%"),
        (1, "0%", "100%"),
        (-0.05, "0%", "-5%"),
        (0.1 + 0.2, "0%", "30%"),
        (0, "0%", "0%"),
        ("10%", "0%", "10%"),
        (0.1, "General", "0.1"),
        (10, '0"%"', "10"),
        (10, r"0\%", "10"),
        (12, "General", "12"),
        (12.0, "0.00", "12"),
        (153.71, "#,##0.00", "153.71"),
        (0.1 + 0.2, "General", "0.3"),
        (0.00001, "General", "0.00001"),
        (Decimal("1234567.89"), "0", "1234567.89"),
        (2020011500000001, "0", "2020011500000001"),
        (5.23457e11, "0.00E+00", "523457000000"),
        (1.5e20, "General", "1.5e+20"),
        (True, "General", "TRUE"),
        ("007", "General", "007"),
        ("  x ", "General", "  x "),
        ("N/A", "General", "N/A"),
        ("#N/A ", "General", "#N/A "),
        (dt.date(2019, 1, 31), "dd/mm/yyyy", "2019-01-31"),
        (dt.datetime(2019, 1, 31), "m/d/yy h:mm", "2019-01-31"),  # noqa: DTZ001 (workbooks know no zone)
        (dt.datetime(2019, 1, 31, 14, 5), "m/d/yy h:mm", "2019-01-31T14:05:00"),  # noqa: DTZ001
    ],
)
def test_a_cell_is_what_it_means_not_what_its_format_makes_of_it(
    shop: Shop, value: Any, number_format: str, expected: str
) -> None:
    assert location_of(shop, value, number_format) == expected


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        pytest.param("9223372036854775807", "9223372036854775807", id="exact"),
        pytest.param("1.23456789012346E+19", "1.23456789012346e+19", id="digits are lost"),
        pytest.param("153.71000000000001", "153.71", id="noise"),
        pytest.param("5.23457E+11", "523457000000", id="exponent, no digit lost"),
    ],
)
def test_a_number_has_the_digits_that_the_file_has(shop: Shop, stored: str, expected: str) -> None:
    path = save(shop, with_sheets(Customers=[COLUMNS, [1, "F", 7, 12]]))
    rewrite_xml(path, "<v>7</v>", f"<v>{stored}</v>")

    shop.ingest()

    assert shop.raw()[0][2] == expected


def test_dates_of_the_1904_calendar_are_the_same_days(shop: Shop) -> None:
    book = with_sheets(
        Spend=[["Date", "Offline_Spend", "Online_Spend"], [dt.date(2019, 1, 31), 4500, 2424.5]]
    )
    book.epoch = dt.datetime(1904, 1, 1)  # noqa: DTZ001
    save(shop, book, "Marketing_Spend.xlsx")

    shop.ingest("marketing_spend")

    assert shop.raw("marketing_spend") == [("2019-01-31", "4500", "2424.5")]


def test_all_sheets_with_the_columns_are_loaded(shop: Shop) -> None:
    more: list[list[Any]] = [
        ["gender", "Customer ID", "Note", "tenure months", "Location"],
        ["M", 4, "new", 3, "Boston"],
    ]
    save(shop, with_sheets(H1=[COLUMNS, ROW, [], [3, "M", None, 1]], Empty=[], H2=[[], *more]))

    [result] = shop.ingest()

    assert result.rows == 3
    assert shop.query(
        "select customerid, gender, location, tenure_months, _source_row from raw.customers"
    ) == [
        ("1", "F", "Chicago", "12", 1),
        ("3", "M", None, "1", 3),
        ("4", "M", "Boston", "3", 4),
    ]
    assert shop.query("select ignored_columns from raw.ingestion_ledger") == [("note",)]


@pytest.mark.parametrize(
    ("rows", "hidden"),
    [
        pytest.param([COLUMNS, [2, "M", "Boston", 3]], True, id="hidden"),
        pytest.param([COLUMNS[:3], [2, "M", "Boston"]], False, id="a column short"),
        pytest.param([["Summary of", "customerid"]], False, id="one of the columns"),
        pytest.param([[2, "M", "Boston", 3]], False, id="without a header"),
        pytest.param([["In 2020"], [], COLUMNS, [2, "M", "Boston", 3]], False, id="below a title"),
        pytest.param([["In 2020"], COLUMNS, [2, "M", "Boston", 3]], True, id="below a title, hidden"),
        pytest.param([["Product_Category", "GST"], ["Nest", 0.1]], False, id="another data set's"),
        pytest.param([["Product_Category", "GST"], ["Nest", 0.1]], True, id="another data set's, hidden"),
    ],
)
def test_a_sheet_that_may_hold_rows_is_named(shop: Shop, rows: list[list[Any]], hidden: bool) -> None:
    book = with_sheets(Customers=[COLUMNS, ROW], Rest=rows)
    book["Rest"].sheet_state = "hidden" if hidden else "visible"
    save(shop, book)

    assert shop.complaint() == (
        f"customers.xlsx has a {'hidden ' if hidden else ''}sheet 'Rest' beside 'Customers' that may hold"
        " rows of ours; give it the columns customerid, gender, location, tenure_months and let it be seen,"
        " or remove it."
    )


def test_a_sheet_of_something_else_is_named_in_log_and_ledger(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    save(shop, with_sheets(About=[["Made by", "finance"]], Customers=[COLUMNS, ROW]))

    with caplog.at_level("WARNING"):
        shop.ingest()

    reason = "its sheet 'About' has no column of customers"
    assert [row[0] for row in shop.raw()] == ["1"]
    assert f"customers.xlsx: left out: {reason}." in caplog.text
    named = "select source_file, left_out from raw.ingestion_ledger where left_out is not null"
    assert shop.query(named) == [("customers.xlsx", reason)]


def test_rows_on_hidden_sheets_only_are_named(shop: Shop) -> None:
    book = with_sheets(Empty=[], Data=[COLUMNS, ROW])
    book["Data"].sheet_state = "veryHidden"
    save(shop, book)

    assert shop.complaint() == "customers.xlsx has its rows on the hidden sheet 'Data'; let it be seen."


def test_a_sheet_without_the_columns_is_named_with_them(shop: Shop, write_xlsx: WriteXlsx) -> None:
    write_xlsx("customers.xlsx", [["Customers of 2019"], COLUMNS, ROW])

    assert shop.complaint() == (
        "customers.xlsx, sheet 'Sheet', lacks the column(s) customerid, gender, location, tenure_months;"
        " it has customers_of_2019."
    )


def test_hidden_rows_and_columns_are_data(shop: Shop) -> None:
    book = with_sheets(Customers=[COLUMNS, ROW, [2, "M", "Boston", 3]])
    book["Customers"].row_dimensions[3].hidden = True
    book["Customers"].column_dimensions["C"].hidden = True
    save(shop, book)

    shop.ingest()

    assert [row[2] for row in shop.raw()] == ["Chicago", "Boston"]


def test_a_formula_counts_with_its_calculated_value(shop: Shop) -> None:
    path = save(shop, with_sheets(Customers=[COLUMNS, [1, "F", "=A1", "=6+6"]]))
    rewrite_xml(path, '<c r="C2"(.*?)<v ?(?:/>|></v>)', r'<c t="str" r="C2"\1<v></v>')
    rewrite_xml(path, '<c r="D2"(.*?)<v ?(?:/>|></v>)', r'<c r="D2"\1<v>12</v>')

    shop.ingest()

    assert shop.raw() == [("1", "F", None, "12")]


def test_a_formula_that_was_never_calculated_is_named(shop: Shop) -> None:
    save(shop, with_sheets(Customers=[[], COLUMNS, ROW, [2, "M", '=CONCAT("Bos","ton")', 3]]))

    assert shop.complaint() == (
        "customers.xlsx, sheet 'Customers', cell C4 holds a formula that was never calculated; open and"
        " save the file in Excel."
    )


@pytest.mark.parametrize("error", ["#N/A", "#REF!", "#DIV/0!", "#NAME?"])
def test_an_error_in_a_cell_is_named(shop: Shop, error: str) -> None:
    save(shop, with_sheets(Customers=[COLUMNS, ROW, [2, "M", "Boston", error]]))

    assert shop.complaint() == f"customers.xlsx, sheet 'Customers', cell D3 holds the error {error}."


def test_a_date_that_no_calendar_has_is_named(shop: Shop) -> None:
    book = with_sheets(Customers=[COLUMNS, [1, "F", 99999999, 12]])
    book.worksheets[0]["C2"].number_format = "yyyy-mm-dd"
    save(shop, book)

    with pytest.warns(UserWarning, match="outside the limits for dates"):
        assert shop.complaint() == "customers.xlsx, sheet 'Customers', cell C2 holds the error #VALUE!."


def test_merged_cells_among_the_rows_are_named(shop: Shop) -> None:
    book = with_sheets(Customers=[COLUMNS, ROW, [2, "M", None, 3], [3, "M", "Boston", 3]])
    book.worksheets[0].merge_cells("C2:C3")
    save(shop, book)

    assert shop.complaint() == (
        "customers.xlsx, sheet 'Customers', cells C2:C3 are merged; give each a value of its own."
    )


def test_what_lies_outside_the_table_does_no_harm(shop: Shop) -> None:
    """Faults in a column that no model knows, merged cells below the last row."""
    book = with_sheets(Customers=[[*COLUMNS, "Ratio"], [*ROW, "#DIV/0!"], [2, "M", "Boston", 3, "=1/0"]])
    sheet = book.worksheets[0]
    sheet.merge_cells("E2:E3")
    sheet.merge_cells("A9:D9")
    save(shop, book)

    shop.ingest()

    assert [row[0] for row in shop.raw()] == ["1", "2"]


def test_a_value_beside_the_headers_is_named(shop: Shop, write_xlsx: WriteXlsx) -> None:
    write_xlsx("customers.xlsx", [COLUMNS, [*ROW, None, "see mail"]])

    assert shop.complaint() == "customers.xlsx, sheet 'Sheet', row 2 has a cell in a column without a header."


def test_a_workbook_as_excel_writes_it_arrives_the_same(shop: Shop) -> None:
    """With texts in a table of their own; and as some programs do, with wrong dimensions."""
    path = save(shop, with_sheets(Customers=[COLUMNS, ROW]))
    rewrite_xml(path, '<c r="C2".*?</c>', '<c r="C2" t="s"><v>0</v></c>')
    part = f'<Override PartName="/xl/sharedStrings.xml" ContentType="{SHARED}"/></Types>'
    rewrite_xml(path, "</Types>", part, "[Content_Types].xml")
    with zipfile.ZipFile(path, "a") as archive:
        namespace = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
        archive.writestr("xl/sharedStrings.xml", f'<sst xmlns="{namespace}"><si><t>Chicago</t></si></sst>')
    rewrite_xml(path, r'<dimension ref="[^"]*"', '<dimension ref="A1:B1"')

    shop.ingest()

    assert shop.raw() == [("1", "F", "Chicago", "12")]
