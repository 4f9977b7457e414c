"""How good a segmentation is: separation, stability, size, the choice of k, and who moved since the last one.

Above EVALUATION_CUSTOMERS customers the figures that need refits or distances between customers come from a
seeded random sample of that size.
"""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score, silhouette_score
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from ml.archetypes import ARCHETYPES, FIGURES, Archetype
from ml.features import AVERAGE_ORDER_VALUE, FREQUENCY, MONETARY
from ml.segmentation import MAX_K, MIN_K, SegmentModel, check_segmentable, fit_pipeline, fit_segments, predict

EVALUATION_CUSTOMERS = 5_000
BOOTSTRAP_REFITS = 50
BOOTSTRAP_STARTS = 10
SEEDS = 20
SELECTION_REFITS, SELECTION_STARTS = 5, 5


@dataclass(frozen=True)
class Stability:
    """Adjusted Rand indexes of refits against the model: 1 is the same segments, 0 is chance."""

    mean: float
    worst: float
    refits: int


@dataclass(frozen=True)
class Migrations:
    """Who changed segment between two versions.

    `moves` has one row per (from_segment_id, to_segment_id) with its customers, those who stayed included;
    `share` is that of the movers among the customers of both versions (0 where there are none).
    """

    share: float
    customers_in_both: int
    joined: int
    left: int
    moves: pd.DataFrame


def evaluation_sample(customers: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return all customers, or EVALUATION_CUSTOMERS of them, in order of customer_id."""
    if len(customers) <= EVALUATION_CUSTOMERS:
        return customers
    return customers.sample(EVALUATION_CUSTOMERS, random_state=seed).sort_index()


def silhouette(model: SegmentModel, customers: pd.DataFrame) -> float:
    """Return the mean silhouette (-1 to 1) of a sample's segments; 0 where all are in one segment."""
    labels = model.assign(customers)
    if (labels == labels.iloc[0]).all():
        return 0.0
    with threadpool_limits(1):
        return float(silhouette_score(model.standardize(customers), labels))


def bootstrap_stability(
    customers: pd.DataFrame,
    labels: "pd.Series[int]",
    k: int,
    *,
    seed: int,
    refits: int | None = None,
    starts: int = BOOTSTRAP_STARTS,
) -> Stability:
    """Compare `labels` with those of models refitted to as many customers drawn with replacement.

    Every refit (shapes, means, scales and clusters) assigns all of `customers`.
    """
    random = np.random.default_rng(seed)
    indexes = []
    refits = refits or BOOTSTRAP_REFITS
    for refit in range(refits):
        drawn = customers.iloc[random.integers(0, len(customers), len(customers))]
        refitted = fit_pipeline(drawn, k, seed=seed + refit, starts=starts)
        indexes.append(adjusted_rand_score(labels, predict(refitted, customers)))
    return Stability(float(np.mean(indexes)), float(np.min(indexes)), refits)


def seed_agreement(customers: pd.DataFrame, k: int, seeds: Iterable[int] | None = None) -> float:
    """Return the share of customers whom the models of all seeds give the same segment_id."""
    assigned = [
        fit_segments(customers, k, seed).assign(customers).to_numpy() for seed in seeds or range(SEEDS)
    ]
    return float((np.stack(assigned) == assigned[0]).all(axis=0).mean())


def selection_table(customers: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return k (2 to 10), inertia, silhouette, stability_mean and stability_worst, one row per k."""
    rows = []
    for k in range(MIN_K, MAX_K + 1):
        if len(customers) < k * 10:
            break
        rows.append(_selection_row(customers, k, seed))
    return pd.DataFrame(rows)


def summarize_segments(model: SegmentModel, customers: pd.DataFrame, ids: "pd.Series[int]") -> pd.DataFrame:
    """Return one row per segment of the model, by segment_id; an empty segment has no means.

    Columns: segment_name, customers, customer_share, revenue (Decimal, USD), revenue_share, orders, and the
    FIGURES (average_order_value: revenue / orders; the others: means over customers).
    """
    groups = customers.groupby(ids)
    table = pd.DataFrame({"segment_name": model.segments})
    table.index.name = "segment_id"
    table["customers"] = groups.size().reindex(table.index, fill_value=0)
    table["customer_share"] = table["customers"] / len(customers)
    cents = (customers[MONETARY.name] * 100).round().astype("int64").groupby(ids).sum()
    cents = cents.reindex(table.index, fill_value=0)
    table["revenue"] = cents.map(lambda amount: Decimal(int(amount)).scaleb(-2))
    table["revenue_share"] = cents / max(int(cents.sum()), 1)
    table["orders"] = groups[FREQUENCY.name].sum().reindex(table.index, fill_value=0).astype("int64")
    for figure in FIGURES:
        table[figure] = groups[figure].mean()
    table[AVERAGE_ORDER_VALUE.name] = cents / 100 / table["orders"]
    return table


def untrue_names(summary: pd.DataFrame) -> list[str]:
    """Return a sentence for each archetype that does not lead where its name says it does."""
    ids = [one.segment_id for one in ARCHETYPES if one.segment_id in summary.index]
    return [
        finding
        for archetype in ARCHETYPES
        if archetype.segment_id in ids
        for extreme, figures in (("highest", archetype.highest), ("lowest", archetype.lowest))
        for figure in figures
        if (
            finding := _untrue(
                archetype, extreme, summary.loc[ids, figure], summary["segment_name"].to_dict()
            )
        )
    ]


def compare(before: "pd.Series[int]", after: "pd.Series[int]") -> Migrations:
    """Compare two versions' segment_id by customer_id."""
    both = pd.concat({"from_segment_id": before, "to_segment_id": after}, axis=1, join="inner")
    moves = both.value_counts().rename("customers").reset_index()
    moves = moves.sort_values(["from_segment_id", "to_segment_id"], ignore_index=True)
    moved = int((both["from_segment_id"] != both["to_segment_id"]).sum())
    return Migrations(
        share=moved / len(both) if len(both) else 0.0,
        customers_in_both=len(both),
        joined=len(after) - len(both),
        left=len(before) - len(both),
        moves=moves,
    )


def project(model: SegmentModel, customers: pd.DataFrame) -> pd.DataFrame:
    """Return the customers' first two principal components (component_1, component_2) and segment_id."""
    with threadpool_limits(1):
        components = PCA(n_components=2, svd_solver="full").fit_transform(model.standardize(customers))
    table = pd.DataFrame(components, index=customers.index, columns=["component_1", "component_2"])
    table["segment_id"] = model.assign(customers)
    return table


def _untrue(
    archetype: Archetype, extreme: str, values: "pd.Series[float]", names: Mapping[Hashable, str]
) -> str | None:
    leader = int(values.idxmax() if extreme == "highest" else values.idxmin())  # type: ignore[call-overload]
    if leader == archetype.segment_id:
        return None
    return (
        f"{archetype.name} must have the {extreme} {values.name}, but theirs is"
        f" {values[archetype.segment_id]:.1f} and that of {names[leader]} {values[leader]:.1f}."
    )


def _selection_row(customers: pd.DataFrame, k: int, seed: int) -> dict[str, float]:
    check_segmentable(customers, k)
    pipeline = fit_pipeline(customers, k, seed)
    labels = pd.Series(predict(pipeline, customers), index=customers.index)
    stability = bootstrap_stability(
        customers, labels, k, seed=seed, refits=SELECTION_REFITS, starts=SELECTION_STARTS
    )
    with threadpool_limits(1):
        separation = float(silhouette_score(pipeline[:-1].transform(customers), labels))
    return {
        "k": k,
        "inertia": float(pipeline["cluster"].inertia_),
        "silhouette": separation,
        "stability_mean": stability.mean,
        "stability_worst": stability.worst,
    }
