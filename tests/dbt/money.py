"""What every order line must cost, recomputed from the shop's CSV files in exact decimals, without dbt."""

import csv
from collections import defaultdict
from decimal import ROUND_HALF_UP, Decimal
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

CENT = Decimal("0.01")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

Key = tuple[int, str]
Row = dict[str, str]


class Amounts(NamedTuple):
    """The amounts of one order line."""

    gross: Decimal
    discount: Decimal
    net: Decimal
    gst: Decimal
    delivery: Decimal
    total: Decimal


def read(path: Path) -> list[Row]:
    """Return a file's rows by column, blanks around the column names cut off."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        header = [name.strip() for name in next(reader)]
        return [dict(zip(header, row, strict=True)) for row in reader]


def cents(amount: Decimal) -> Decimal:
    """Round half up to the cent; no amount is negative."""
    return amount.quantize(CENT, ROUND_HALF_UP)


def expected_lines(folder: Path) -> dict[Key, Amounts]:
    """Return each line's amounts by (transaction_id, product_sku) from files without a bad row."""
    coupons = {
        (MONTHS.index(row["Month"]) + 1, row["Product_Category"]): Decimal(row["Discount_pct"]) / 100
        for row in read(folder / "Discount_Coupon.csv")
    }
    taxes = {row["Product_Category"]: rate(row["GST"]) for row in read(folder / "Tax_amount.csv")}
    transactions: dict[int, list[Row]] = defaultdict(list)
    for file in folder.glob("Online_Sales*.csv"):
        for row in read(file):
            transactions[int(row["Transaction_ID"])].append(row)
    return {
        (transaction, row["Product_SKU"]): amounts(row, delivery, coupons, taxes)
        for transaction, rows in transactions.items()
        for row, delivery in with_delivery(rows)
    }


def rate(text: str) -> Decimal:
    """Return `10%` or `0.1` as a fraction."""
    return Decimal(text.rstrip("%")) / 100 if text.endswith("%") else Decimal(text)


def gross(row: Row) -> Decimal:
    """Return quantity times price."""
    return cents(int(row["Quantity"]) * Decimal(row["Avg_Price"]))


def with_delivery(rows: list[Row]) -> list[tuple[Row, Decimal]]:
    """Split the transaction's one charge over its lines by value: whole cents that add up to the charge."""
    rows = sorted(rows, key=lambda row: row["Product_SKU"])
    charge = int(max(cents(Decimal(row["Delivery_Charges"])) for row in rows) * 100)
    running = list(accumulate(int(gross(row) * 100) + 1 for row in rows))
    steps = [0, *(charge * reached // running[-1] for reached in running)]
    return [
        (row, (after - before) * CENT) for row, before, after in zip(rows, steps, steps[1:], strict=False)
    ]


def amounts(
    row: Row, delivery: Decimal, coupons: dict[tuple[int, str], Decimal], taxes: dict[str, Decimal]
) -> Amounts:
    """Return what one line costs."""
    coupon = (int(row["Transaction_Date"].split("/")[0]), row["Product_Category"])
    used = row["Coupon_Status"] == "Used"
    discount = cents(gross(row) * coupons.get(coupon, Decimal(0))) if used else Decimal(0)
    net = gross(row) - discount
    gst = cents(net * taxes[row["Product_Category"]])
    return Amounts(gross(row), discount, net, gst, delivery, net + gst + delivery)
