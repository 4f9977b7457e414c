"""Sample files of the web shop, with the shape and the quirks of the real set.

`python -m standalone.sample_data DIR [--scale N] [--seed N]` writes five CSV files into DIR. The same
arguments give the same bytes. Only uniform random numbers are drawn, because the streams of numpy's other
distributions may change between its releases.

The quirks, all on purpose: dates as 1/31/2019, GST as `10%`, a trailing blank in the header
`Product_Category `, `&quot;` and quoted commas in descriptions, the delivery charge of a transaction on
each of its lines, transactions shared by several customers, a coupon category without sales and sold
categories without a coupon, CRLF line ends in three of the files.
"""

import argparse
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from include.ingestion.origin import MARKER
from standalone.sample_data.draws import quotas, stream_of
from standalone.sample_data.sales import SalesWriter
from standalone.sample_data.tables import (
    CATEGORIES,
    COUPON_ONLY,
    CUSTOMERS,
    GENDERS,
    LOCATIONS,
    MONTHS,
    OFFLINE_LEVELS,
    ONLINE_LEVELS,
)
from standalone.sample_data.text import csv_line, short_number, us_date
from standalone.sample_data.visits import all_days, customer_ids


def generate(directory: Path, scale: int = 1, seed: int = 20190101) -> None:
    """Write the five files; `scale` multiplies the order lines, not customers, SKUs or days.

    A directory that already holds the files of this recipe, byte for byte, is left untouched. Each file
    appears at once or not at all. Raises ValueError for a scale below 1 and OSError when writing fails.
    """
    if scale < 1:
        raise ValueError(f"scale must be 1 or more, not {scale}")
    recipe = _recipe(scale, seed)
    if _is_current(directory, recipe):
        return
    directory.mkdir(parents=True, exist_ok=True)
    writers: dict[str, Callable[[Any], None]] = {
        "CustomersData.csv": lambda file: _write_customers(file, seed),
        "Online_Sales.csv": lambda file: SalesWriter(scale, seed).write(file),
        "Marketing_Spend.csv": lambda file: _write_marketing_spend(file, seed),
        "Discount_Coupon.csv": lambda file: _write_coupons(file, seed),
        "Tax_amount.csv": lambda file: _write_tax(file, seed),
    }
    for name, write in writers.items():
        _write_atomically(directory / name, write)
    marker = recipe | {"files": {name: _sha256(directory / name) for name in writers}}
    _write_atomically(directory / MARKER, lambda file: file.write(json.dumps(marker, indent=2).encode()))


def _recipe(scale: int, seed: int) -> dict[str, Any]:
    """Return what the files follow from: the arguments and every module of this package."""
    modules = {path.name: _sha256(path) for path in sorted(Path(__file__).parent.glob("*.py"))}
    return {"scale": scale, "seed": seed, "generator": modules}


def _is_current(directory: Path, recipe: dict[str, Any]) -> bool:
    """Tell whether the directory's marker names this recipe and each file still has the bytes it records."""
    try:
        marker = json.loads((directory / MARKER).read_text(encoding="utf-8"))
        files = dict(marker.pop("files"))
        return marker == recipe and all(_sha256(directory / name) == digest for name, digest in files.items())
    except (FileNotFoundError, ValueError, KeyError, AttributeError, TypeError):
        return False


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_atomically(path: Path, write: Callable[[Any], None]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            write(file)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _write_rows(file: io.BufferedIOBase, rows: Iterable[Sequence[object]], line_end: str) -> None:
    file.write("".join(csv_line(row) + line_end for row in rows).encode())


def _write_customers(file: io.BufferedIOBase, seed: int) -> None:
    rng = stream_of(seed, 6)
    genders = quotas(list(GENDERS.values()), rng)
    locations = quotas(list(LOCATIONS.values()), rng)
    tenures = 2 + np.floor(rng.random(CUSTOMERS) * 49).astype(np.int64)
    names = list(LOCATIONS)
    rows = zip(
        customer_ids(seed),
        [list(GENDERS)[g] for g in genders],
        [names[n] for n in locations],
        tenures,
        strict=True,
    )
    _write_rows(file, [("CustomerID", "Gender", "Location", "Tenure_Months"), *rows], "\r\n")


def _write_marketing_spend(file: io.BufferedIOBase, seed: int) -> None:
    rng = stream_of(seed, 7)
    rows: list[Sequence[object]] = [("Date", "Offline_Spend", "Online_Spend")]
    offline = 0
    for number, day in enumerate(all_days()):
        offline_draw, online_draw = rng.random(2)
        if number % 5 == 0:  # the offline budget is set for some days at a time
            offline = round((OFFLINE_LEVELS[day.month - 1] + 2600 * (offline_draw - 0.5)) / 500) * 500
        online = ONLINE_LEVELS[day.month - 1] * (0.25 + 1.5 * online_draw)
        rows.append((us_date(day), min(max(offline, 500), 5000), short_number(float(online))))
    _write_rows(file, rows, "\n")


def _write_coupons(file: io.BufferedIOBase, seed: int) -> None:
    """Write 10, 20 and 30 per cent through each quarter, for the categories that have a coupon."""
    del seed  # nothing in this file is random
    codes = [(c.name, c.coupon) for c in CATEGORIES if c.coupon]
    codes.insert(6, COUPON_ONLY)
    rows: list[Sequence[object]] = [("Month", "Product_Category ", "Coupon_Code", "Discount_pct")]
    for quarter in range(0, 12, 3):
        for category, code in codes:
            for step in range(3):
                percent = 10 * (step + 1)
                rows.append((MONTHS[quarter + step], category, f"{code}{percent}", percent))
    _write_rows(file, rows, "\n")


def _write_tax(file: io.BufferedIOBase, seed: int) -> None:
    del seed  # nothing in this file is random
    rates = [(c.name, f"{c.gst_pct}%") for c in CATEGORIES]
    _write_rows(file, [("Product_Category", "GST"), *rates], "\r\n")


def main() -> None:
    """Run `python -m standalone.sample_data`."""
    parser = argparse.ArgumentParser(description="Write sample files of the web shop.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--scale", type=int, default=1, help="multiplies the order lines (about 53,000)")
    parser.add_argument("--seed", type=int, default=20190101)
    arguments = parser.parse_args()
    generate(arguments.directory, arguments.scale, arguments.seed)
