"""The five customer segments, as a marketer reads and changes them.

`levels` places a segment against the average customer, from -2 (far below) to 2 (far above), in the four
figures of FIGURES. Training gives each cluster the archetype that it is nearest to, so that an id keeps its
meaning. `highest` and `lowest` name the figures in which the segment must lead all others for its name to be
true; the gate checks them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

# Of a segment: the means of its customers, but average_order_value is its revenue / its orders.
FIGURES = ("recency_days", "frequency", "monetary", "average_order_value")


@dataclass(frozen=True)
class Archetype:
    """A named way of shopping; `meaning` says who they are and `action` what marketing does with them."""

    segment_id: int
    name: str
    levels: Mapping[str, float]
    meaning: str
    action: str
    highest: tuple[str, ...] = field(default=())
    lowest: tuple[str, ...] = field(default=())


def _levels(recency: float, orders: float, revenue: float, order_value: float) -> dict[str, float]:
    return dict(zip(FIGURES, (recency, orders, revenue, order_value), strict=True))


ARCHETYPES = (
    Archetype(
        0,
        "Big Spenders",
        _levels(recency=0, orders=-1, revenue=0, order_value=2),
        meaning="Few orders, each worth far more than usual.",
        action="Premium ranges, bundles and free delivery; bring them back once more.",
        highest=("average_order_value",),
    ),
    Archetype(
        1,
        "At-Risk (Lapsing)",
        _levels(recency=2, orders=0, revenue=0, order_value=0),
        meaning="Bought well, but not for a long time.",
        action="Win-back offer with an end date; ask why they left.",
        highest=("recency_days",),
    ),
    Archetype(
        2,
        "Occasional Shoppers",
        _levels(recency=0, orders=-2, revenue=-2, order_value=-1),
        meaning="A few small orders.",
        action="Cheap channels only: welcome series, a coupon for the next order.",
        lowest=("frequency", "monetary"),
    ),
    Archetype(
        3,
        "Champions (VIPs)",
        _levels(recency=-1, orders=2, revenue=2, order_value=0),
        meaning="Order most often, bring most revenue, and bought recently.",
        action="No discounts needed: early access, loyalty rewards, referrals.",
        highest=("frequency", "monetary"),
    ),
    Archetype(
        4,
        "Loyal Customers",
        _levels(recency=-1, orders=0.5, revenue=0.5, order_value=0),
        meaning="Bought not long ago, at a steady middle level.",
        action="Cross-selling and a reason to come again soon, towards the Champions.",
    ),
)
