"""Who shops when: the customers, and the days on which each comes."""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from standalone.sample_data.draws import Draw, Floats, Ints, normal, permutation, quotas, stream_of
from standalone.sample_data.tables import (
    CHAMPIONS,
    CUSTOMERS,
    DAYS,
    FIRST_DAY,
    GROUPS,
    MONTH_SHARES,
    TRANSACTIONS,
    WEEKDAY_WEIGHTS,
)


@dataclass(frozen=True)
class Visits:
    """A customer's shopping day, ordered by day; `orders` is the expected number of transactions."""

    customer: Ints
    group: Ints
    day: Ints
    orders: Floats


def make_visits(seed: int) -> Visits:
    """Return who shops when and how many transactions that gives at scale 1, months in their real shares."""
    rng = stream_of(seed, 3)
    group = quotas([g.share for g in GROUPS], rng)
    customer, day = _visit_days(rng, group)
    habit = np.exp(0.6 * np.clip(normal(rng, CUSTOMERS), -2.5, 2.2))
    mood = np.exp(0.4 * np.clip(normal(rng, len(customer)), -2.0, 2.0))
    orders = np.array([g.orders for g in GROUPS])[group[customer]] * habit[customer] * mood
    orders *= np.sqrt(_day_weights() / np.bincount(day, weights=orders, minlength=DAYS))[day]
    month = np.array([d.month - 1 for d in all_days()])[day]
    shares = np.array(MONTH_SHARES) / sum(MONTH_SHARES)
    orders *= (TRANSACTIONS * shares / np.bincount(month, weights=orders, minlength=12))[month]
    order = np.lexsort((rng.random(len(customer)), day))
    return Visits(customer[order], group[customer][order], day[order], orders[order])


def customer_ids(seed: int) -> Ints:
    """Return the ids in the order of the customer file; the first, 12347 and the last are always there."""
    rng = stream_of(seed, 2)
    others = np.setdiff1d(np.arange(12346, 18284), [12346, 12347, 18283])
    chosen = np.sort(others[permutation(rng, len(others))[: CUSTOMERS - 3]])
    ids = np.concatenate([chosen, [12346, 12347, 18283]])
    return np.asarray(ids[permutation(rng, CUSTOMERS)], dtype=np.int64)


def all_days() -> list[date]:
    """Return the days of the year that the files cover."""
    return [FIRST_DAY + timedelta(days=n) for n in range(DAYS)]


def _day_weights() -> Floats:
    """Return the weight of each day of the year: month's share of the lines times weekday."""
    month_days = np.bincount([day.month - 1 for day in all_days()])
    return np.array(
        [
            MONTH_SHARES[day.month - 1] / month_days[day.month - 1] * WEEKDAY_WEIGHTS[day.weekday()]
            for day in all_days()
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
