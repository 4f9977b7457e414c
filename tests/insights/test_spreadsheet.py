"""CSV files: what a spreadsheet would run is defused, what is a phone number or a figure stays."""

import csv
import io
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from include.insights.spreadsheet import defused, to_csv


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        '=HYPERLINK("https://evil.example","win")',
        "+SUM(A1:A9)",
        "-2+3+cmd|' /C calc'!A0",
        "@SUM(1)",
        "\t=1+1",
        "\r=1+1",
        "\n=1+1",
        " =1+1",
        "\ufeff=1+1",
        "\N{FULLWIDTH EQUALS SIGN}1+1",
        "+49 30 1234 = cmd",
        "+1+1",
        "-1-1",
    ],
)
def test_a_formula_becomes_text(text: str) -> None:
    assert defused(text) == f"'{text}"


@pytest.mark.parametrize(
    "value",
    [
        "+49 30 1234-567",
        "+49 (0)30 123456",
        "+15005550006",
        "0049 30 123",
        "-12.5",
        "+3",
        "-7",
        "SALE10",
        "a=b",
        "",
    ],
)
def test_phone_numbers_figures_and_plain_text_stay(value: str) -> None:
    assert defused(value) == value


@pytest.mark.parametrize("value", [Decimal("-1.50"), -3, 0.25, True])
def test_what_is_no_text_stays(value: Any) -> None:
    assert defused(value) == value


def test_a_file_holds_plain_values_and_is_read_back_as_written() -> None:
    row = [date(2019, 12, 31), datetime(2026, 1, 5, 6, 30, tzinfo=UTC), Decimal("1234.50"), None, 'a "b",\nc']
    read = list(csv.reader(io.StringIO(to_csv(["day", "time", "amount", "none", "text"], [row]), newline="")))
    assert read == [
        ["day", "time", "amount", "none", "text"],
        ["2019-12-31", "2026-01-05T06:30:00+00:00", "1234.50", "", 'a "b",\nc'],
    ]
