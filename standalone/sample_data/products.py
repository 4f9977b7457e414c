"""The products of the sample shop, with a price for each half of a month."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from standalone.sample_data.draws import Draw, Floats, Ints, normal, stream_of
from standalone.sample_data.tables import (
    BRANDS,
    CATEGORIES,
    COLOURS,
    LINES_SHARES,
    PRICE_LEVELS,
    TRANSACTIONS,
    Category,
)
from standalone.sample_data.text import csv_line, short_number


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
        shares = np.array([c.line_share for c in CATEGORIES]) * mean_lines()
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


def make_catalogue(seed: int) -> Catalogue:
    """Return all products; prices depend on the seed, names do not."""
    fields, numbers = [], []
    for number, category in enumerate(CATEGORIES):
        for item, description in enumerate(_descriptions(category)):
            sku = f"MIPE{category.code}AB{item // 3:04d}{item % 3 + 13:02d}"
            fields.append(csv_line([sku, description, category.name]))
            numbers.append(number)
    category_of = np.array(numbers, dtype=np.int64)
    values, positions = np.unique(_price_table(stream_of(seed, 1), category_of), return_inverse=True)
    texts = [short_number(value) for value in values]
    return Catalogue(fields, category_of, positions.reshape(len(fields), 24), texts)


def mean_lines() -> float:
    """Return the mean number of order lines in a transaction."""
    return float(np.dot(LINES_SHARES, np.arange(1, len(LINES_SHARES) + 1)) / sum(LINES_SHARES))


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


def _price_table(rng: np.random.Generator, category: Ints) -> Floats:
    """Return USD prices by SKU and half-month: a list price that is cut and raised over the year."""
    skus = len(category)
    middle = np.array([c.price for c in CATEGORIES])[category]
    spread = np.array([c.price_spread for c in CATEGORIES])[category]
    price = middle * np.exp(spread * np.clip(normal(rng, skus), -1.8, 1.8))
    price = np.where(rng.random(skus) < 0.4, np.maximum(np.rint(price), 1.0), price)
    levels = 1 + np.floor(rng.random(skus) * len(PRICE_LEVELS))
    chosen = np.floor(rng.random((skus, 24)) ** 1.4 * levels[:, None]).astype(np.int64)
    cut = np.rint(price[:, None] * np.array(PRICE_LEVELS)[chosen] * 100) / 100
    return np.asarray(np.maximum(cut, 0.39), dtype=np.float64)
