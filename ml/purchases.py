"""Who will buy again within 90 days, from the days that customers bought on; no amount is looked at.

The unit is the visit: a purchase day, or several in a row (in the real files a quarter of all gaps are one
day long, and one in eighty two days: a shopping trip that ends after midnight). Visits of a customer are a
Poisson process, rates are gamma distributed over the customers (NBD), and this makes it fit a shop's file:

- A customer's first visit in the file is rarely their first ever, so everybody is observed from the file's
  first day, and the fit is conditional on the visit without which nobody would know them.
- Habits change: a visit `half_life` days ago counts half. The half-life that best told *who* came in earlier
  windows is chosen; how many came does not count in the choice, since that is the season's doing.
- Nothing is known about the next season, so the rate stays that of the history.

MBG/NBD on purchase days (Batislam, Denizel and Filiztekin, 2007) is what it is compared with.
"""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import minimize  # type: ignore[import-untyped]
from scipy.special import betaln, gammaln, hyp2f1  # type: ignore[import-untyped]

from ml.features import CUSTOMER_ID

HORIZON_DAYS = 90
MIN_HISTORY_DAYS = 180
MIN_CUSTOMERS = 500
DAY = "day"
HALF_LIVES = (90.0, 180.0, 365.0, 730.0, 1460.0)
WINDOW_DAYS = 30  # of the windows that the half-life is chosen on
WINDOWS = 3

Floats = npt.NDArray[np.float64]


class OutlookRefusedError(Exception):
    """The orders are too few for an outlook: one sentence that says how many there are and must be."""


@dataclass(frozen=True)
class Purchases:
    """The visits of a shop up to `as_of`: sorted `frame` of customer_id and day, one row a visit's first day.

    `start` is the first day of the shop's orders.
    """

    frame: pd.DataFrame
    start: dt.date
    as_of: dt.date

    @property
    def history_days(self) -> int:
        """Return how many days the orders span, both ends included."""
        return (self.as_of - self.start).days + 1

    def until(self, day: dt.date) -> "Purchases":
        """Return what was known at the end of a day."""
        return Purchases(self.frame[self.frame[DAY] <= pd.Timestamp(day)], self.start, day)

    def counts_after(self, day: dt.date, days: int, customers: pd.Index) -> "pd.Series[int]":
        """Return the visits that began within `days` after a day, for each of the customers."""
        since = (self.frame[DAY] - pd.Timestamp(day)).dt.days
        window = self.frame[(since > 0) & (since <= days)]
        return window.groupby(CUSTOMER_ID).size().reindex(customers, fill_value=0)

    def refuse(self) -> None:
        """Raise OutlookRefusedError if history or customers are too few."""
        if self.history_days < MIN_HISTORY_DAYS:
            raise OutlookRefusedError(
                f"No outlook: up to {self.as_of} there are {self.history_days} days of orders, and it needs"
                f" {MIN_HISTORY_DAYS}."
            )
        customers = self.frame[CUSTOMER_ID].nunique()
        if customers < MIN_CUSTOMERS:
            raise OutlookRefusedError(
                f"No outlook: up to {self.as_of} there are {customers} customers with an order, and it needs"
                f" {MIN_CUSTOMERS}."
            )


def purchases(days: pd.DataFrame, as_of: dt.date | None = None) -> Purchases:
    """Return the visits of a frame with customer_id and day, one row a purchase day, in any order.

    Days after `as_of` (default: the latest) do not count. Raises OutlookRefusedError where nothing is left.
    """
    known = days[[CUSTOMER_ID, DAY]].drop_duplicates().assign(**{DAY: pd.to_datetime(days[DAY])})
    if as_of is not None:
        known = known[known[DAY] <= pd.Timestamp(as_of)]
    if known.empty:
        raise OutlookRefusedError(f"No outlook: there is no order{f' up to {as_of}' if as_of else ''}.")
    known = known.sort_values([CUSTOMER_ID, DAY], ignore_index=True)
    gaps = known.groupby(CUSTOMER_ID)[DAY].diff().dt.days
    start, latest = known[DAY].min().date(), known[DAY].max().date()
    return Purchases(known[gaps != 1].reset_index(drop=True), start, as_of or latest)


@dataclass(frozen=True)
class PurchaseModel:
    """Gamma distributed visit rates (shape `r`, rate `alpha`), days after which a visit counts half."""

    r: float
    alpha: float
    half_life: float

    @classmethod
    def fit(cls, known: Purchases) -> "PurchaseModel":
        """Fit shape and rate by maximum likelihood, and choose the half-life. Raises OutlookRefusedError."""
        known.refuse()
        return replace(_fitted(known), half_life=choose_half_life(known))

    def predict(self, known: Purchases, days: int = HORIZON_DAYS) -> pd.DataFrame:
        """Return probability of a visit and expected_purchases (visits) within `days`, by customer_id."""
        ages = (pd.Timestamp(known.as_of) - known.frame[DAY]).dt.days
        weights = np.exp2(-ages / self.half_life)
        visits = weights.groupby(known.frame[CUSTOMER_ID]).sum()
        observed = self.half_life / np.log(2) * (1 - np.exp2(-known.history_days / self.half_life))
        shape, rate = self.r + visits, self.alpha + observed
        return pd.DataFrame(
            {
                "probability": -np.expm1(shape * np.log(rate / (rate + days))),
                "expected_purchases": shape / rate * days,
            }
        )


def fit_truncated_nbd(
    counts: npt.NDArray[Any], customers: npt.NDArray[Any], days: int
) -> tuple[float, float]:
    """Return shape and rate of an NBD over `days`, given how many customers have each count of 1 or more."""

    def loss(logs: Floats) -> float:
        r, alpha = np.exp(logs)
        none = r * np.log(alpha / (alpha + days))  # the logarithm of the chance of no visit at all
        some = gammaln(r + counts) - gammaln(r) - gammaln(counts + 1) + counts * np.log(days / (alpha + days))
        return -float(np.average(some + none - np.log(-np.expm1(none)), weights=customers))

    starts = [(0.0, np.log(days)), (-3.0, np.log(days))]
    r, alpha = _minimum(loss, starts=starts, low=(-6.0, -2.0), high=(6.0, 16.0))
    return r, alpha


def choose_half_life(known: Purchases) -> float:
    """Return the half-life under which those who came in the last three windows of 30 days were likeliest.

    The score is the likelihood of each visit's customer among all known ones, so the level does not count.
    """
    scores = dict.fromkeys(HALF_LIVES, 0.0)
    for number in range(1, WINDOWS + 1):
        then = known.until(known.as_of - dt.timedelta(days=number * WINDOW_DAYS))
        model = _fitted(then)
        for half_life in HALF_LIVES:
            expected = replace(model, half_life=half_life).predict(then, WINDOW_DAYS)["expected_purchases"]
            came = known.counts_after(then.as_of, WINDOW_DAYS, expected.index)
            scores[half_life] += float((came * np.log(expected / expected.sum())).sum())
    return max(scores, key=lambda half_life: scores[half_life])


def _fitted(known: Purchases) -> PurchaseModel:
    visits = known.frame.groupby(CUSTOMER_ID).size().to_numpy()
    counts, customers = np.unique(visits, return_counts=True)
    return PurchaseModel(*fit_truncated_nbd(counts, customers, known.history_days), max(HALF_LIVES))


@dataclass(frozen=True)
class MbgNbd:
    """MBG/NBD: after each purchase, the first included, a customer may drop out for good (beta: `a`, `b`).

    `repeats`, `recency` and `age` are repeat purchases, and days from the first purchase to the last and to
    the as-of date.
    """

    r: float
    alpha: float
    a: float
    b: float

    @classmethod
    def fit(cls, repeats: Floats, recency: Floats, age: Floats) -> "MbgNbd":
        """Fit by maximum likelihood."""

        def loss(logs: Floats) -> float:
            return -float(cls(*np.exp(logs)).log_likelihood(repeats, recency, age).mean())

        starts = [(0.0, 3.0, 0.0, 1.0), (0.0, 4.5, -1.0, 0.0), (-0.5, 4.0, -2.0, 1.0)]
        return cls(*_minimum(loss, starts=starts, low=(-7.0,) * 4, high=(12.0,) * 4))

    def log_likelihood(self, repeats: Floats, recency: Floats, age: Floats) -> Floats:
        """Return each customer's log-likelihood."""
        r, alpha, a, b = self.r, self.alpha, self.a, self.b
        rates = gammaln(r + repeats) - gammaln(r) + r * np.log(alpha) - (r + repeats) * np.log(alpha + age)
        drops = betaln(a, b + repeats + 1) - betaln(a, b)
        result: Floats = rates + drops + np.logaddexp(0, self._log_odds_gone(repeats, recency, age))
        return result

    def predict(
        self, repeats: Floats, recency: Floats, age: Floats, days: int = HORIZON_DAYS
    ) -> pd.DataFrame:
        """Return alive, probability of a purchase and expected_purchases within `days` of each customer."""
        r, alpha, a, b = self.r, self.alpha, self.a, self.b
        alive = 1 / (1 + np.exp(self._log_odds_gone(repeats, recency, age)))
        quiet = ((alpha + age) / (alpha + age + days)) ** (r + repeats)
        series = hyp2f1(r + repeats, b + repeats + 1, a + b + repeats, days / (alpha + age + days))
        expected = (a + b + repeats) / (a - 1) * (1 - quiet * series) * alive
        return pd.DataFrame(
            {"alive": alive, "probability": alive * (1 - quiet), "expected_purchases": expected}
        )

    def _log_odds_gone(self, repeats: Floats, recency: Floats, age: Floats) -> Floats:
        ratio = np.log(self.alpha + age) - np.log(self.alpha + recency)
        result: Floats = np.log(self.a) - np.log(self.b + repeats) + (self.r + repeats) * ratio
        return result


def _minimum(
    loss: Callable[[Floats], float],
    *,
    starts: Sequence[Sequence[float]],
    low: Sequence[float],
    high: Sequence[float],
) -> tuple[float, ...]:
    """Return the parameters, whose logarithms are bounded, with the smallest loss."""
    found = [
        minimize(
            loss, start, method="L-BFGS-B", bounds=list(zip(low, high, strict=True)), options={"ftol": 1e-12}
        )
        for start in starts
    ]
    return tuple(float(one) for one in np.exp(min(found, key=lambda one: float(one.fun)).x))
