"""The order lines: what each customer buys on each visit."""

import io
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from standalone.sample_data.draws import Draw, Floats, Ints, permutation, stream_of
from standalone.sample_data.products import make_catalogue
from standalone.sample_data.tables import (
    CATEGORIES,
    DAYS,
    FAVOURED_QUANTITIES,
    GROUPS,
    LARGEST_SALE,
    LINES_SHARES,
    QUANTITIES,
    STATUS_SHARES,
    SURCHARGE_SHARES,
    SURCHARGES,
)
from standalone.sample_data.text import short_number, us_date
from standalone.sample_data.visits import all_days, customer_ids, make_visits

CHUNK_TRANSACTIONS = 200_000
SALES_HEADER = (
    "CustomerID,Transaction_ID,Transaction_Date,Product_SKU,Product_Description,"
    "Product_Category,Quantity,Avg_Price,Delivery_Charges,Coupon_Status"
)


class SalesWriter:
    """Writes the order lines in chunks of whole visits, so that memory stays flat whatever the scale."""

    def __init__(self, scale: int, seed: int) -> None:
        self._seed = seed
        self._catalogue = make_catalogue(seed)
        self._visits = make_visits(seed)
        rng = stream_of(seed, 4)
        expected = self._visits.orders * scale
        self._counts = np.maximum(np.floor(expected + rng.random(len(expected))), 1).astype(np.int64)
        self._first_transaction = np.concatenate([[0], np.cumsum(self._counts)])
        self._sku_order = permutation(rng, len(self._catalogue.category))
        self._draw_quantity = _draw_quantity()
        prices = np.array([float(price) for price in self._catalogue.price_texts])
        self._largest_quantity = np.searchsorted(QUANTITIES, LARGEST_SALE / prices, side="right") - 1
        self._draw_lines = Draw([LINES_SHARES])
        self._day_start = np.searchsorted(self._visits.day, np.arange(DAYS + 1))
        self._next_id = 16_679
        days = all_days()
        self._half_month = np.array([(d.month - 1) * 2 + (d.day > 15) for d in days])
        self._texts = {
            "customer": pa.array([str(i) for i in customer_ids(seed)]),
            "day": pa.array([us_date(d) for d in days]),
            "product": pa.array(self._catalogue.csv_fields),
            "quantity": pa.array([str(q) for q in QUANTITIES]),
            "price": pa.array(self._catalogue.price_texts),
            "status": pa.array([f"{status}\r\n" for status in STATUS_SHARES]),
        }

    def write(self, file: io.BufferedIOBase) -> None:
        """Write header and all order lines."""
        file.write(f"{SALES_HEADER}\r\n".encode())
        for number, (first, last) in enumerate(self._chunks()):
            file.write(self._chunk(stream_of(self._seed, 5, number), first, last))

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
        return pa.array([short_number(value / 100) for value in cents]).take(pa.array(positions))

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


def _joined(columns: list[pa.Array]) -> memoryview:
    """Return the bytes of the columns joined by commas; the last column carries the line end.

    Arrow keeps the joined strings back to back in one buffer, which is already the file's text.
    """
    joined = pc.binary_join_element_wise(*columns, ",")
    offsets = np.frombuffer(joined.buffers()[1], dtype=np.int32)
    return memoryview(joined.buffers()[2])[: int(offsets[len(joined)])]
