"""Made-up files of the web shop, with the shape and the quirks of the real set.

`python -m standalone.sample_data DIR [--scale N] [--seed N]` writes five CSV files into DIR. The same
arguments give the same bytes. Only uniform random numbers are drawn, because the streams of numpy's other
distributions may change between its releases.

The quirks, all on purpose: dates as 1/31/2019, GST as `10%`, a trailing blank in the header
`Product_Category `, `&quot;` and quoted commas in descriptions, the delivery charge of a transaction on
each of its lines, transactions shared by several customers, a coupon category without sales and sold
categories without a coupon, CRLF line ends in three of the files.
"""

import argparse
import csv
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

CUSTOMERS = 1_468
TRANSACTIONS = 25_061  # at scale 1
FIRST_DAY = date(2019, 1, 1)
DAYS = 365
MARKER = ".sample_data.json"
CHUNK_TRANSACTIONS = 200_000

SALES_HEADER = (
    "CustomerID,Transaction_ID,Transaction_Date,Product_SKU,Product_Description,"
    "Product_Category,Quantity,Avg_Price,Delivery_Charges,Coupon_Status"
)


class Category(NamedTuple):
    """A product category: its share of the order lines, its SKUs, prices (USD), GST and coupon."""

    name: str
    line_share: float
    skus: int
    code: str
    price: float
    price_spread: float
    mean_quantity: float
    gst_pct: int
    coupon: str | None
    nouns: tuple[str, ...]


APPAREL = (
    "Men's Crew Tee",
    "Women's Crew Tee",
    "Kids' Crew Tee",
    "Zip Hoodie",
    "Pullover Hoodie",
    "Long & Light Tee",
    "Rain Jacket",
    "Fleece Vest",
    "Tank Top",
    "Polo Shirt",
    "Track Jacket",
    "Baby One-piece",
)
OFFICE = ("Roller Pen", "Pen, Pencil & Marker Set", "Sticker Sheet", "Desk Pad", "Mouse Pad", "Sticky Notes")
DRINKWARE = ("Ceramic Mug", "Steel Tumbler", "Mug, 11 oz", "Travel Flask", "Pint Glass")
LIFESTYLE = ("Key Ring", "Lip Balm", "Sun & Sport Balm", "Lunch Bag", "5&quot; Desk Plant", "Earbuds")
CATEGORIES = (
    Category("Apparel", 0.342491, 923, "AP", 17.5, 0.65, 1.8, 18, "APP", APPAREL),
    Category("Nest-USA", 0.264776, 9, "NU", 135, 0.22, 1.53, 10, "HOME", ("Thermostat", "Indoor Camera")),
    Category("Office", 0.123063, 44, "OF", 3.0, 0.7, 13.6, 10, "DESK", OFFICE),
    Category("Drinkware", 0.065811, 31, "DW", 9, 0.8, 8.8, 18, "PLUS", DRINKWARE),
    Category("Lifestyle", 0.058423, 22, "LI", 3, 0.5, 8.0, 18, "PLUS", LIFESTYLE),
    Category("Nest", 0.041531, 8, "NE", 190, 0.5, 1.29, 5, "NEST", ("Thermostat E", "Doorbell", "Alarm")),
    Category("Bags", 0.03556, 17, "BA", 14, 1.0, 8.1, 18, "BAG", ("Canvas Tote", "Sling Bag", "Laptop Bag")),
    Category("Headgear", 0.014568, 18, "HG", 15, 0.27, 4.6, 5, "CAP", ("Cap", "Beanie", "Sun Visor")),
    Category("Notebooks & Journals", 0.014152, 14, "NJ", 12, 0.48, 12.8, 5, "JRNL", ("Journal, Ruled",)),
    Category("Waze", 0.010468, 23, "WZ", 6, 0.7, 2.1, 18, "WAYS", ("Mood Magnet", "Traffic Tee", "Car Clip")),
    Category("Nest-Canada", 0.00599, 5, "NC", 149, 0.24, 1.48, 10, "MAPLE", ("Thermostat CA", "Camera CA")),
    Category("Bottles", 0.005064, 2, "BO", 3, 0.2, 7.8, 5, "BOT", ("Water Bottle",)),
    Category("Accessories", 0.004421, 7, "AC", 4.5, 0.8, 4.7, 10, "ACCE", ("Phone Stand", "Lanyard")),
    Category("Fun", 0.003023, 3, "FU", 7, 0.3, 5.2, 18, None, ("9&quot; Flying Disc", "Yo-yo")),
    Category("Gift Cards", 0.003004, 6, "GC", 90, 0.7, 1.3, 5, "GIFT", ("Gift Card",)),
    Category("Housewares", 0.002305, 1, "HW", 2, 0.1, 20.4, 12, "HOUSE", ("Bamboo Spoon",)),
    Category("Google", 0.001984, 2, "GO", 14.5, 0.2, 5.5, 10, None, ("Logo Tumbler",)),
    Category("Backpacks", 0.001682, 3, "BP", 80, 0.3, 1.27, 10, None, ("Rucksack", "Day Pack")),
    Category("More Bags", 0.000869, 2, "MB", 18, 0.1, 3.1, 18, None, ("Gym Sack",)),
    Category("Android", 0.000812, 5, "AN", 16, 0.2, 1.05, 10, "DROID", ("Robot Tee", "Robot Figure")),
)
COUPON_ONLY = ("Notebooks", "NOTE")
BRANDS = ("Lumen", "Alder", "Kestrel", "Fathom", "Tandem", "Orbit")
COLOURS = ("Black", "White", "Navy", "Grey", "Red", "Green", "Blue", "Heather")


class Group(NamedTuple):
    """A way of shopping; `orders` are transactions a visit, `bulk` scales the quantity above one piece."""

    share: float
    visits: float
    orders: float
    bulk: float
    first_day: int
    last_day: int


GROUPS = (
    Group(0.13, visits=1.8, orders=9, bulk=2.2, first_day=0, last_day=364),  # few visits, large baskets
    Group(0.32, visits=1.5, orders=7, bulk=0.8, first_day=0, last_day=185),  # stopped buying by mid-year
    Group(0.17, visits=1.05, orders=3, bulk=0.6, first_day=120, last_day=364),  # once, and little
    Group(0.08, visits=5.0, orders=10, bulk=1.2, first_day=0, last_day=364),  # often and much, to the end
    Group(0.30, visits=2.7, orders=8, bulk=0.7, first_day=60, last_day=364),  # often
)
CHAMPIONS = 3

LOCATIONS = {
    "California": 0.316076,
    "Chicago": 0.310627,
    "New York": 0.220708,
    "New Jersey": 0.101499,
    "Washington DC": 0.051090,
}
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
MONTH_SHARES = (
    0.0768,
    0.0621,
    0.0821,
    0.0784,
    0.0864,
    0.0792,
    0.0992,
    0.1162,
    0.0810,
    0.0787,
    0.0748,
    0.0851,
)
WEEKDAY_WEIGHTS = (0.084, 0.087, 0.168, 0.170, 0.175, 0.155, 0.161)  # Monday first
OFFLINE_LEVELS = (3100, 2900, 2400, 3200, 2100, 2700, 2200, 2750, 2750, 3000, 3100, 3950)  # USD a day
ONLINE_LEVELS = (1880, 1990, 1570, 2030, 1700, 1790, 1700, 1850, 1750, 1860, 2270, 2470)  # USD a day

LINES_SHARES = (
    *(0.58405, 0.18946, 0.08531, 0.04856, 0.02785, 0.02031, 0.01285, 0.00822, 0.00698, 0.00431),
    *(0.00267, 0.00200, 0.00140, 0.00124, 0.00140, 0.00060, 0.00064, 0.00040, 0.00036, 0.00036),
    *(0.00044, 0.00012, 0.00016, 0.00004, 0.00002, 0.00002, 0.00004, 0.00004, 0.00004, 0.00004),
    *(0.00001, 0.00001, 0.00001, 0.00001, 0.00004),
)  # index 0: one line a transaction
STATUS_SHARES = {"Clicked": 0.508767, "Used": 0.338296, "Not Used": 0.152937}
QUANTITIES = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 75, 100, 150, 200, 300, 500, 900)
LARGEST_SALE = 10_500.0  # USD a line
FAVOURED_QUANTITIES = {1: 1.7, 5: 2.0, 10: 3.0, 20: 3.0, 50: 3.0, 100: 4.0}
PRICE_LEVELS = (1.0, 0.8, 0.7, 1.25, 0.9, 0.64, 0.75, 1.1)
SURCHARGES = (12.99, 19.99, 12.48, 12.91, 8.7, 0.0)
SURCHARGE_SHARES = (0.42, 0.14, 0.10, 0.05, 0.04, 0.03)


class Draw:
    """Weighted draws from a table with one row of weights for each kind of draw."""

    def __init__(self, weights: Sequence[Sequence[float] | Floats] | Floats) -> None:
        table = np.asarray(weights, dtype=np.float64)
        shares = np.cumsum(table, axis=1) / table.sum(axis=1, keepdims=True)
        shares[:, -1] = 1.0
        self._width = table.shape[1]
        self._steps = (shares + np.arange(len(table))[:, None]).ravel()

    def __call__(self, rows: Ints | int, uniform: Floats) -> Ints:
        """Return a column number for each uniform number, drawn with the weights of its row."""
        found = np.searchsorted(self._steps, uniform + rows, side="right") - np.asarray(rows) * self._width
        return np.asarray(found, dtype=np.int64)


@dataclass(frozen=True)
class Catalogue:
    """SKUs in order of category; `prices[sku, half_month]` is a position in `price_texts`."""

    csv_fields: list[str]
    category: Ints
    prices: Ints
    price_texts: list[str]

    @cached_property
    def draw_category(self) -> Draw:
        """Draw a category so that its share stays right although every SKU is also sold once for sure."""
        forced = np.bincount(self.category, minlength=len(CATEGORIES)) / TRANSACTIONS
        shares = np.array([c.line_share for c in CATEGORIES]) * _mean_lines()
        return Draw([shares - forced])

    @cached_property
    def draw_sku(self) -> Draw:
        """Draw the SKU's number within a category: a few sell much, most sell little."""
        ranks = np.arange(1, max(c.skus for c in CATEGORIES) + 1) ** -0.75
        return Draw([[w if i < c.skus else 0.0 for i, w in enumerate(ranks)] for c in CATEGORIES])

    @cached_property
    def first_sku(self) -> Ints:
        """Return the number of each category's first SKU."""
        return np.searchsorted(self.category, np.arange(len(CATEGORIES)))


@dataclass(frozen=True)
class Visits:
    """A customer's shopping day, ordered by day; `orders` is the expected number of transactions."""

    customer: Ints
    group: Ints
    day: Ints
    orders: Floats


def _mean_lines() -> float:
    return float(np.dot(LINES_SHARES, np.arange(1, len(LINES_SHARES) + 1)) / sum(LINES_SHARES))


def _number(value: float) -> str:
    """Format like the real files: 153.71, 6.5, 1."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _rng(seed: int, *stream: int) -> np.random.Generator:
    return np.random.default_rng([seed, *stream])


def _normal(rng: np.random.Generator, size: int) -> Floats:
    radius = np.sqrt(-2.0 * np.log(1.0 - rng.random(size)))
    return np.asarray(radius * np.cos(2.0 * np.pi * rng.random(size)), dtype=np.float64)


def _permutation(rng: np.random.Generator, size: int) -> Ints:
    return np.argsort(rng.random(size), kind="stable")


def _days() -> list[date]:
    return [FIRST_DAY + timedelta(days=n) for n in range(DAYS)]


def _us_date(day: date) -> str:
    return f"{day.month}/{day.day}/{day.year}"


def _descriptions(category: Category) -> list[str]:
    """Return one description for each SKU of the category; sizes of a garment share theirs."""
    sizes = 3 if category.name == "Apparel" else 1
    nouns = category.nouns
    names = []
    for number in range(category.skus):
        rest, noun = divmod(number // sizes, len(nouns))
        colour, brand = divmod(rest, len(BRANDS))
        names.append(f"{BRANDS[brand]} {nouns[noun]} {COLOURS[colour % len(COLOURS)]}")
    return names


def _csv_line(fields: Iterable[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(fields)
    return text.getvalue()


def _price_table(rng: np.random.Generator, category: Ints) -> Floats:
    """Return USD prices by SKU and half-month: a list price that is cut and raised over the year."""
    skus = len(category)
    middle = np.array([c.price for c in CATEGORIES])[category]
    spread = np.array([c.price_spread for c in CATEGORIES])[category]
    price = middle * np.exp(spread * np.clip(_normal(rng, skus), -1.8, 1.8))
    price = np.where(rng.random(skus) < 0.4, np.maximum(np.rint(price), 1.0), price)
    levels = 1 + np.floor(rng.random(skus) * len(PRICE_LEVELS))
    chosen = np.floor(rng.random((skus, 24)) ** 1.4 * levels[:, None]).astype(np.int64)
    cut = np.rint(price[:, None] * np.array(PRICE_LEVELS)[chosen] * 100) / 100
    return np.asarray(np.maximum(cut, 0.39), dtype=np.float64)


def _catalogue(seed: int) -> Catalogue:
    fields, numbers = [], []
    for number, category in enumerate(CATEGORIES):
        for item, description in enumerate(_descriptions(category)):
            sku = f"MIPE{category.code}AB{item // 3:04d}{item % 3 + 13:02d}"
            fields.append(_csv_line([sku, description, category.name]))
            numbers.append(number)
    category_of = np.array(numbers, dtype=np.int64)
    values, positions = np.unique(_price_table(_rng(seed, 1), category_of), return_inverse=True)
    texts = [_number(value) for value in values]
    return Catalogue(fields, category_of, positions.reshape(len(fields), 24), texts)


def _customer_ids(seed: int) -> Ints:
    """Return the ids in the order of the customer file; the first, 12347 and the last are always there."""
    rng = _rng(seed, 2)
    others = np.setdiff1d(np.arange(12346, 18284), [12346, 12347, 18283])
    chosen = np.sort(others[_permutation(rng, len(others))[: CUSTOMERS - 3]])
    ids = np.concatenate([chosen, [12346, 12347, 18283]])
    return np.asarray(ids[_permutation(rng, CUSTOMERS)], dtype=np.int64)


def _quotas(shares: Sequence[float], rng: np.random.Generator) -> Ints:
    """Return a group number for each customer: groups of exactly these shares, in random order."""
    edges = np.rint(np.cumsum(shares) / sum(shares) * CUSTOMERS)
    return np.searchsorted(edges, np.arange(CUSTOMERS), side="right")[_permutation(rng, CUSTOMERS)]


def _day_weights() -> Floats:
    """Return the weight of each day of the year: month's share of the lines times weekday."""
    month_days = np.bincount([day.month - 1 for day in _days()])
    return np.array(
        [
            MONTH_SHARES[day.month - 1] / month_days[day.month - 1] * WEEKDAY_WEIGHTS[day.weekday()]
            for day in _days()
        ]
    )


def _visit_days(rng: np.random.Generator, group: Ints) -> tuple[Ints, Ints]:
    """Return customer and day of all visits, each pair once, every day of the year at least once."""
    stay = 1.0 - 1.0 / np.array([g.visits for g in GROUPS])[group]
    counts = np.minimum(1 + np.floor(np.log(1.0 - rng.random(CUSTOMERS)) / np.log(stay)), 34).astype(np.int64)
    customer = np.repeat(np.arange(CUSTOMERS), counts)
    weights = _day_weights()
    day_numbers = np.arange(DAYS)
    windows = [weights * ((day_numbers >= g.first_day) & (day_numbers <= g.last_day)) for g in GROUPS]
    day = Draw(windows)(group[customer], rng.random(len(customer)))
    quiet = np.setdiff1d(day_numbers, day)
    champions = np.flatnonzero(group == CHAMPIONS)
    visitors = champions[np.floor(rng.random(len(quiet)) * len(champions)).astype(np.int64)]
    pairs = np.unique(np.concatenate([day * CUSTOMERS + customer, quiet * CUSTOMERS + visitors]))
    return pairs % CUSTOMERS, pairs // CUSTOMERS


def _visits(seed: int) -> Visits:
    """Return who shops when and how many transactions that gives at scale 1, months in their real shares."""
    rng = _rng(seed, 3)
    group = _quotas([g.share for g in GROUPS], rng)
    customer, day = _visit_days(rng, group)
    habit = np.exp(0.6 * np.clip(_normal(rng, CUSTOMERS), -2.5, 2.2))
    mood = np.exp(0.4 * np.clip(_normal(rng, len(customer)), -2.0, 2.0))
    orders = np.array([g.orders for g in GROUPS])[group[customer]] * habit[customer] * mood
    orders *= np.sqrt(_day_weights() / np.bincount(day, weights=orders, minlength=DAYS))[day]
    month = np.array([d.month - 1 for d in _days()])[day]
    shares = np.array(MONTH_SHARES) / sum(MONTH_SHARES)
    orders *= (TRANSACTIONS * shares / np.bincount(month, weights=orders, minlength=12))[month]
    order = np.lexsort((rng.random(len(customer)), day))
    return Visits(customer[order], group[customer][order], day[order], orders[order])


def _quantity_weights(mean: float) -> Floats:
    """Return weights over QUANTITIES with about this mean: a power law with a liking for round numbers."""
    sizes = np.array(QUANTITIES, dtype=np.float64)
    liking = np.array([FAVOURED_QUANTITIES.get(size, 1.0) for size in QUANTITIES])
    low, high = 0.5, 8.0
    for _ in range(40):
        middle = (low + high) / 2
        weights = liking * sizes**-middle
        too_many = float(np.dot(weights, sizes) / weights.sum()) > mean
        low, high = (middle, high) if too_many else (low, middle)
    return weights


def _draw_quantity() -> Draw:
    """Draw a position in QUANTITIES; row = category * number of groups + group."""
    means = [1 + (c.mean_quantity - 1) * g.bulk for c in CATEGORIES for g in GROUPS]
    return Draw(np.array([_quantity_weights(mean) for mean in means]))


class SalesWriter:
    """Writes the order lines in chunks of whole visits, so that memory stays flat whatever the scale."""

    def __init__(self, scale: int, seed: int) -> None:
        self._seed = seed
        self._catalogue = _catalogue(seed)
        self._visits = _visits(seed)
        rng = _rng(seed, 4)
        expected = self._visits.orders * scale
        self._counts = np.maximum(np.floor(expected + rng.random(len(expected))), 1).astype(np.int64)
        self._first_transaction = np.concatenate([[0], np.cumsum(self._counts)])
        self._sku_order = _permutation(rng, len(self._catalogue.category))
        self._draw_quantity = _draw_quantity()
        prices = np.array([float(price) for price in self._catalogue.price_texts])
        self._largest_quantity = np.searchsorted(QUANTITIES, LARGEST_SALE / prices, side="right") - 1
        self._draw_lines = Draw([LINES_SHARES])
        self._day_start = np.searchsorted(self._visits.day, np.arange(DAYS + 1))
        self._next_id = 16_679
        days = _days()
        self._half_month = np.array([(d.month - 1) * 2 + (d.day > 15) for d in days])
        self._texts = {
            "customer": pa.array([str(i) for i in _customer_ids(seed)]),
            "day": pa.array([_us_date(d) for d in days]),
            "product": pa.array(self._catalogue.csv_fields),
            "quantity": pa.array([str(q) for q in QUANTITIES]),
            "price": pa.array(self._catalogue.price_texts),
            "status": pa.array([f"{status}\r\n" for status in STATUS_SHARES]),
        }

    def write(self, file: io.BufferedIOBase) -> None:
        """Write header and all order lines."""
        file.write(f"{SALES_HEADER}\r\n".encode())
        for number, (first, last) in enumerate(self._chunks()):
            file.write(self._chunk(_rng(self._seed, 5, number), first, last))

    def _chunks(self) -> Iterator[tuple[int, int]]:
        """Yield ranges of visits with about CHUNK_TRANSACTIONS transactions each."""
        first = 0
        while first < len(self._counts):
            limit = self._first_transaction[first] + CHUNK_TRANSACTIONS
            last = max(int(np.searchsorted(self._first_transaction, limit, side="right")) - 1, first + 1)
            yield first, last
            first = last

    def _chunk(self, rng: np.random.Generator, first: int, last: int) -> memoryview:
        """Return the CSV lines of the visits first … last - 1."""
        visit = np.repeat(np.arange(first, last), self._counts[first:last])
        lines = 1 + self._draw_lines(0, rng.random(len(visit)))
        day = self._visits.day[visit]
        charge = self._delivery_charges(rng, lines, day)
        transaction = np.repeat(np.arange(len(visit)), lines)
        position = np.arange(len(transaction)) - np.repeat(np.cumsum(lines) - lines, lines)
        buyer = self._buyers(rng, visit, lines, transaction, position)
        sku = self._skus(rng, int(self._first_transaction[first]), lines, transaction)
        kind = self._catalogue.category[sku] * len(GROUPS) + self._visits.group[buyer]
        quantity = self._draw_quantity(kind, rng.random(len(sku)))
        status = Draw([list(STATUS_SHARES.values())])(0, rng.random(len(sku)))
        line_day = day[transaction]
        price = self._catalogue.prices[sku, self._half_month[line_day]]
        quantity = np.minimum(quantity, self._largest_quantity[price])
        text = self._texts
        columns = [
            text["customer"].take(pa.array(self._visits.customer[buyer])),
            self._transaction_ids(rng, len(visit)).take(pa.array(transaction)),
            text["day"].take(pa.array(line_day)),
            text["product"].take(pa.array(sku)),
            text["quantity"].take(pa.array(quantity)),
            text["price"].take(pa.array(price)),
            charge.take(pa.array(transaction)),
            text["status"].take(pa.array(status)),
        ]
        return _joined(columns)

    def _transaction_ids(self, rng: np.random.Generator, count: int) -> pa.Array:
        """Return growing ids with a gap here and there, going on from the chunk before."""
        steps = 1 + np.floor(np.log(1.0 - rng.random(count)) / np.log(0.2)).astype(np.int64)
        ids = self._next_id + np.cumsum(steps) - steps[0]
        self._next_id = int(ids[-1]) + 1
        return pc.cast(pa.array(ids), pa.string())

    def _delivery_charges(self, rng: np.random.Generator, lines: Ints, day: Ints) -> pa.Array:
        """Return one charge (USD) a transaction: the season's base charge or, more for large ones, extra."""
        base = np.where((day < 100) | (day >= 323), 6.5, 6.0)
        extra = np.append(np.array(SURCHARGES), np.nan)[
            Draw([[*SURCHARGE_SHARES, 1 - sum(SURCHARGE_SHARES)]])(0, rng.random(len(lines)))
        ]
        tail = np.minimum(np.rint(1500 * (1 - rng.random(len(lines))) ** -0.7) / 100, 521.36)
        surcharged = rng.random(len(lines)) < np.minimum(0.09 + 0.03 * lines, 0.32)
        charge = np.where(surcharged, np.where(np.isnan(extra), tail, extra), base)
        cents, positions = np.unique(np.rint(charge * 100), return_inverse=True)
        return pa.array([_number(value / 100) for value in cents]).take(pa.array(positions))

    def _buyers(
        self, rng: np.random.Generator, visit: Ints, lines: Ints, transaction: Ints, position: Ints
    ) -> Ints:
        """Return the visit that pays for each line: some transactions are shared by customers of the day."""
        start = self._day_start[self._visits.day[visit]]
        present = self._day_start[self._visits.day[visit] + 1] - start
        shared = rng.random(len(visit)) < np.minimum(0.052 * (lines - 1), 0.5)
        wanted = 2 + np.floor(np.log(1.0 - rng.random(len(visit))) / np.log(0.15)).astype(np.int64)
        payers = np.where(shared, np.minimum(np.minimum(wanted, lines), present), 1)
        others = np.maximum(present - 1, 1)
        shift = np.floor(rng.random(len(visit)) * others).astype(np.int64)
        seat = position * payers[transaction] // lines[transaction]
        step = np.where(seat == 0, 0, 1 + (shift[transaction] + seat - 1) % others[transaction])
        own = (visit - start)[transaction]
        return np.asarray(start[transaction] + (own + step) % present[transaction], dtype=np.int64)

    def _skus(self, rng: np.random.Generator, first_transaction: int, lines: Ints, transaction: Ints) -> Ints:
        """Return a SKU for each line, none twice in a transaction, each SKU at least once in the file."""
        sku = self._any_skus(rng, len(transaction))
        total = int(self._first_transaction[-1])
        count = len(self._sku_order)
        due = (np.arange(count) * 2 + 1) * total // (2 * count) - first_transaction
        here = (due >= 0) & (due < len(lines))
        sku[(np.cumsum(lines) - lines)[due[here]]] = self._sku_order[here]
        suspects = np.flatnonzero(lines[transaction] > 1)
        while len(suspects):
            keys = transaction[suspects] * count + sku[suspects]
            order = np.argsort(keys, kind="stable")
            again = suspects[order[1:][keys[order[1:]] == keys[order[:-1]]]]
            sku[again] = self._any_skus(rng, len(again))
            touched = np.zeros(len(lines), dtype=bool)
            touched[transaction[again]] = True
            suspects = suspects[touched[transaction[suspects]]]
        return sku

    def _any_skus(self, rng: np.random.Generator, count: int) -> Ints:
        category = self._catalogue.draw_category(0, rng.random(count))
        return self._catalogue.first_sku[category] + self._catalogue.draw_sku(category, rng.random(count))


def _joined(columns: list[pa.Array]) -> memoryview:
    """Return the bytes of the columns joined by commas; the last column carries the line end.

    Arrow keeps the joined strings back to back in one buffer, which is already the file's text.
    """
    joined = pc.binary_join_element_wise(*columns, ",")
    offsets = np.frombuffer(joined.buffers()[1], dtype=np.int32)
    return memoryview(joined.buffers()[2])[: int(offsets[len(joined)])]


def _write_rows(file: io.BufferedIOBase, rows: Iterable[Sequence[object]], line_end: str) -> None:
    file.write("".join(_csv_line(row) + line_end for row in rows).encode())


def _write_customers(file: io.BufferedIOBase, seed: int) -> None:
    rng = _rng(seed, 6)
    genders = _quotas([0.63624, 0.36376], rng)
    locations = _quotas(list(LOCATIONS.values()), rng)
    tenures = 2 + np.floor(rng.random(CUSTOMERS) * 49).astype(np.int64)
    names = list(LOCATIONS)
    rows = zip(
        _customer_ids(seed),
        ["FM"[g] for g in genders],
        [names[n] for n in locations],
        tenures,
        strict=True,
    )
    _write_rows(file, [("CustomerID", "Gender", "Location", "Tenure_Months"), *rows], "\r\n")


def _write_marketing_spend(file: io.BufferedIOBase, seed: int) -> None:
    rng = _rng(seed, 7)
    rows: list[Sequence[object]] = [("Date", "Offline_Spend", "Online_Spend")]
    offline = 0
    for number, day in enumerate(_days()):
        offline_draw, online_draw = rng.random(2)
        if number % 5 == 0:  # the offline budget is set for some days at a time
            offline = round((OFFLINE_LEVELS[day.month - 1] + 2600 * (offline_draw - 0.5)) / 500) * 500
        online = ONLINE_LEVELS[day.month - 1] * (0.25 + 1.5 * online_draw)
        rows.append((_us_date(day), min(max(offline, 500), 5000), _number(float(online))))
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


def _recipe(scale: int, seed: int) -> dict[str, Any]:
    return {"scale": scale, "seed": seed, "generator": _sha256(Path(__file__))}


def _is_current(directory: Path, recipe: dict[str, Any]) -> bool:
    """Tell whether the directory's marker names this recipe and each file still has the bytes it records."""
    try:
        marker = json.loads((directory / MARKER).read_text(encoding="utf-8"))
        files = dict(marker.pop("files"))
        return marker == recipe and all(_sha256(directory / name) == digest for name, digest in files.items())
    except (FileNotFoundError, ValueError, KeyError, AttributeError, TypeError):
        return False


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


def main() -> None:
    """Run `python -m standalone.sample_data`."""
    parser = argparse.ArgumentParser(description="Write made-up files of the web shop.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--scale", type=int, default=1, help="multiplies the order lines (about 53,000)")
    parser.add_argument("--seed", type=int, default=20190101)
    arguments = parser.parse_args()
    generate(arguments.directory, arguments.scale, arguments.seed)
