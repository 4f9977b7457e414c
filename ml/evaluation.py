"""How good a segmentation is: separation, stability, size, the choice of k, and migrations.

Above EVALUATION_CUSTOMERS customers the figures that need refits or distances between customers come from a
seeded random sample of that size.
"""

import time
from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score, silhouette_score
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from ml.archetypes import ARCHETYPES, FIGURES, Archetype
from ml.features import AVERAGE_ORDER_VALUE, FREQUENCY, MONETARY
from ml.gate import GateFigures
from ml.segmentation import MAX_K, MIN_CUSTOMERS_PER_SEGMENT, MIN_K, SegmentModel

EVALUATION_CUSTOMERS = 5_000
BOOTSTRAP_REFITS = 50
BOOTSTRAP_N_INIT = 10
SEEDS = 20
SELECTION_REFITS, SELECTION_N_INIT = 5, 5


@dataclass(frozen=True)
class Stability:
    """Adjusted Rand indexes of `refits` refits against the model: 1 is the same segments, 0 is chance."""

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


@dataclass(frozen=True)
class Evaluation:
    """All that is known of a model before the gate judges it; `migrations` is None for a first version.

    `summary` is that of summarize_segments, `selection` of selection_table, `projection` of project.
    """

    summary: pd.DataFrame
    stability: Stability
    seed_agreement: float
    silhouette: float
    selection: pd.DataFrame
    projection: pd.DataFrame
    migrations: Migrations | None

    def figures(self) -> GateFigures:
        """Return what the gate judges."""
        return GateFigures(
            silhouette=self.silhouette,
            smallest_segment_share=float(self.summary["customer_share"].min()),
            mean_stability=self.stability.mean,
            worst_stability=self.stability.worst,
            seed_agreement=self.seed_agreement,
            migration_share=self.migrations.share if self.migrations else None,
            untrue_names=tuple(untrue_names(self.summary)),
        )


def evaluate(
    model: SegmentModel,
    customers: pd.DataFrame,
    before: "pd.Series[int] | None",
    seconds: dict[str, float],
) -> Evaluation:
    """Evaluate a model on the customers that it was fitted to; `before` is the last version's segment_id.

    Each step adds its wall-clock time to `seconds`.
    """
    k, seed = model.n_clusters, model.random_state
    sample = evaluation_sample(customers, seed)
    with measured(seconds, "bootstrap"):
        stability = bootstrap_stability(sample, model.labels_.loc[sample.index], k, seed=seed)
    with measured(seconds, "seeds"):
        agreement = seed_agreement(sample, k)
    with measured(seconds, "silhouette"):
        separation = silhouette(model, sample)
    with measured(seconds, "choice of k"):
        selection = selection_table(sample, seed)
    return Evaluation(
        summary=summarize_segments(model, customers, model.labels_),
        stability=stability,
        seed_agreement=agreement,
        silhouette=separation,
        selection=selection,
        projection=project(model, sample),
        migrations=compare(before, model.labels_) if before is not None else None,
    )


@contextmanager
def measured(seconds: dict[str, float], step: str) -> Iterator[None]:
    """Note the wall-clock time of a step."""
    start = time.perf_counter()
    yield
    seconds[step] = time.perf_counter() - start


def evaluation_sample(customers: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return all customers, or EVALUATION_CUSTOMERS of them, in order of customer_id."""
    if len(customers) <= EVALUATION_CUSTOMERS:
        return customers
    return customers.sample(EVALUATION_CUSTOMERS, random_state=seed).sort_index()


def silhouette(model: SegmentModel, customers: pd.DataFrame) -> float:
    """Return the mean silhouette (-1 to 1) of a sample's segments; 0 where all are in one segment."""
    labels = model.predict(customers)
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
    n_init: int = BOOTSTRAP_N_INIT,
) -> Stability:
    """Compare `labels` with those of models refitted to as many customers drawn with replacement.

    Every refit (shapes, means, scales and clusters) assigns all of `customers`.
    """
    random = np.random.default_rng(seed)
    indexes = []
    refits = refits or BOOTSTRAP_REFITS
    for refit in range(refits):
        drawn = customers.iloc[random.integers(0, len(customers), len(customers))]
        refitted = SegmentModel(k, n_init=n_init, random_state=seed + refit).fit_resample(drawn)
        indexes.append(adjusted_rand_score(labels, refitted.predict(customers)))
    return Stability(float(np.mean(indexes)), float(np.min(indexes)), refits)


def seed_agreement(customers: pd.DataFrame, k: int, seeds: Iterable[int] | None = None) -> float:
    """Return the share of customers whom the models of all seeds give the same segment_id."""
    assigned = [
        SegmentModel(k, random_state=seed).fit(customers).labels_.to_numpy() for seed in seeds or range(SEEDS)
    ]
    return float((np.stack(assigned) == assigned[0]).all(axis=0).mean())


def selection_table(customers: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return k (2 to 10), inertia, silhouette, stability_mean and stability_worst, one row per k."""
    rows = []
    for k in range(MIN_K, MAX_K + 1):
        if len(customers) < k * MIN_CUSTOMERS_PER_SEGMENT:
            break
        rows.append(_selection_row(customers, k, seed))
    return pd.DataFrame(rows)


def summarize_segments(model: SegmentModel, customers: pd.DataFrame, ids: "pd.Series[int]") -> pd.DataFrame:
    """Return one row per segment of the model, by segment_id; an empty segment has no means.

    Columns: segment_name, customers, customer_share, revenue (Decimal, USD), revenue_share, orders, and the
    FIGURES (average_order_value: revenue / orders; the others: means over customers).
    """
    groups = customers.groupby(ids)
    table = pd.DataFrame({"segment_name": model.segments_})
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
    table["segment_id"] = model.predict(customers)
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
    model = SegmentModel(k, random_state=seed).fit(customers)
    stability = bootstrap_stability(
        customers, model.labels_, k, seed=seed, refits=SELECTION_REFITS, n_init=SELECTION_N_INIT
    )
    return {
        "k": k,
        "inertia": model.inertia_,
        "silhouette": silhouette(model, customers),
        "stability_mean": stability.mean,
        "stability_worst": stability.worst,
    }
