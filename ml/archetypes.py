"""The five customer segments, as a marketer reads and changes them.

`claims` are what a segment's name says, each a predicate over its customers: training gives each cluster the
archetype whose claims it bears out, and the gate refuses a version in which one is false. `levels` place a
segment against the average customer, from -2 (far below) to 2 (far above), in the four figures of FIGURES;
they decide where claims alone do not, so that an id keeps its meaning.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

import pandas as pd

# Of a segment: the means of its customers, but purchase_day_value is its revenue / its purchase days.
FIGURES = ("recency_days", "purchase_days", "monetary", "purchase_day_value")

# One segment's row, all segments' rows, and the shop's row of `profile`.
Holds = Callable[["pd.Series[float]", pd.DataFrame, "pd.Series[float]"], bool]


@dataclass(frozen=True)
class Claim:
    """A part of what a name says: in words, as a predicate, and the profile's figure that it is about."""

    words: str
    figure: str
    holds: Holds


@dataclass(frozen=True)
class Archetype:
    """A named way of shopping; `meaning` says who they are and `action` what marketing does with them."""

    segment_id: int
    name: str
    levels: Mapping[str, float]
    meaning: str
    action: str
    claims: tuple[Claim, ...]


def _levels(recency: float, days: float, revenue: float, day_value: float) -> dict[str, float]:
    return dict(zip(FIGURES, (recency, days, revenue, day_value), strict=True))


def _highest(figure: str, words: str) -> Claim:
    return Claim(words, figure, lambda own, all_, _: bool(own[figure] >= all_[figure].max()))


def _lowest(figure: str, words: str) -> Claim:
    return Claim(words, figure, lambda own, all_, _: bool(own[figure] <= all_[figure].min()))


def _at_least(figure: str, limit: float, words: str) -> Claim:
    return Claim(words, figure, lambda own, *_: bool(own[figure] >= limit))


BIG_SPENDER_FACTOR = 1.5
RECENT_GAPS = 2.0
_MORE_RECENT = Claim(
    "their silence is below the shop's mean",
    "recency_days",
    lambda own, _, shop: bool(own["recency_days"] < shop["recency_days"]),
)

ARCHETYPES = (
    Archetype(
        0,
        "Big Spenders",
        _levels(recency=0, days=-1, revenue=0, day_value=2),
        meaning="Spend far more than usual on a purchase day, and seldom come.",
        action="Premium ranges, bundles and free delivery; bring them back once more.",
        claims=(
            Claim(
                "their revenue a purchase day is at least 1.5 times the shop's",
                "purchase_day_value",
                lambda own, _, shop: bool(
                    own["purchase_day_value"] >= BIG_SPENDER_FACTOR * shop["purchase_day_value"]
                ),
            ),
            _highest("purchase_day_value", "no other segment has more revenue a purchase day"),
        ),
    ),
    Archetype(
        1,
        "At-Risk (Lapsing)",
        _levels(recency=2, days=0, revenue=0, day_value=0),
        meaning="Bought more than once, or much, and have been silent for long.",
        action="Win-back offer with an end date; ask why they left.",
        claims=(
            _at_least("good_share", 0.5, "most bought on two or more days or brought more than the mean"),
            _at_least(
                "silent_share", 0.5, "most are silent for more than twice their own and the shop's usual gap"
            ),
        ),
    ),
    Archetype(
        2,
        "Occasional Shoppers",
        _levels(recency=0, days=-2, revenue=-2, day_value=-1),
        meaning="Little revenue, most of it on a single day.",
        action="Cheap channels only: welcome series, a coupon for the next order.",
        claims=(
            _lowest("median_purchase_days", "no other segment's median customer has fewer purchase days"),
            _lowest("monetary", "no other segment has less revenue a customer"),
        ),
    ),
    Archetype(
        3,
        "Champions (VIPs)",
        _levels(recency=-2, days=2, revenue=2, day_value=0),
        meaning="Come on most days, bring most revenue, and bought recently.",
        action="No discounts needed: early access, loyalty rewards, referrals.",
        claims=(
            _highest("purchase_days", "no other segment has more purchase days"),
            _highest("monetary", "no other segment has more revenue a customer"),
            _MORE_RECENT,
            Claim(
                "their median silence is at most twice the shop's usual gap",
                "median_recency_days",
                lambda own, _, shop: bool(own["median_recency_days"] <= RECENT_GAPS * shop["usual_gap_days"]),
            ),
        ),
    ),
    Archetype(
        4,
        "Loyal Customers",
        _levels(recency=-1, days=1, revenue=0.5, day_value=0),
        meaning="Came back, and are silent for less long than the shop's mean.",
        action="Cross-selling and a reason to come again soon, towards the Champions.",
        claims=(
            _at_least("repeat_share", 0.8, "at least 80 % bought on two or more days"),
            _MORE_RECENT,
        ),
    ),
)


def profile(customers: pd.DataFrame, ids: "pd.Series[int]") -> tuple[pd.DataFrame, "pd.Series[float]"]:
    """Return the figures of claims: one row per segment, by its id, and the shop's own row.

    `customers` is the frame of CustomerFeatures, `ids` has each one's segment (or cluster). Columns:
    FIGURES, medians of purchase_days and recency_days, and the shares of customers who are repeat buyers,
    good (repeat buyers, or above the mean revenue) and silent for more than twice the longer of their own
    and the shop's usual gap (usual_gap_days: the mean over repeat buyers).
    """
    repeat = customers["is_repeat"] > 0
    gaps = customers["buying_span_days"] / (customers["purchase_days"] - 1).where(repeat)
    usual = float(gaps.mean())
    facts = customers[["recency_days", "purchase_days", "monetary"]].assign(
        repeat_share=repeat,
        good_share=repeat | (customers["monetary"] > customers["monetary"].mean()),
        silent_share=customers["recency_days"] > 2 * gaps.fillna(usual).clip(lower=usual),
    )
    groups = facts.groupby(ids.to_numpy())
    table = groups.mean()
    totals = groups[["monetary", "purchase_days"]].sum()
    table["purchase_day_value"] = totals["monetary"] / totals["purchase_days"]
    table["median_purchase_days"] = groups["purchase_days"].median()
    table["median_recency_days"] = groups["recency_days"].median()
    shop = facts.mean()
    shop["purchase_day_value"] = facts["monetary"].sum() / facts["purchase_days"].sum()
    shop["usual_gap_days"] = usual
    return table, shop


def false_claims(
    archetype: Archetype, own_id: int, table: pd.DataFrame, shop: "pd.Series[float]"
) -> list[Claim]:
    """Return the claims that segment `own_id` of a profile does not bear out; all, if it has no customers."""
    if own_id not in table.index:
        return list(archetype.claims)
    return [
        claim
        for claim in archetype.claims
        if not claim.holds(cast("pd.Series[float]", table.loc[own_id]), table, shop)
    ]
