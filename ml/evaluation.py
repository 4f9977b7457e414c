"""How good a segmentation is: separation, stability, size, the choice of k, and migrations.

Above EVALUATION_CUSTOMERS customers the figures that need refits or distances between customers come from a
seeded random sample of that size.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score, silhouette_score
from sklearn.metrics.cluster import contingency_matrix

from ml.archetypes import ARCHETYPES, FIGURES, false_claims, profile
from ml.features import FREQUENCY, MONETARY, PURCHASE_DAY_VALUE, PURCHASE_DAYS
from ml.gate import GateFigures
from ml.segmentation import MAX_K, MIN_CUSTOMERS_PER_SEGMENT, MIN_K, SegmentModel, one_thread

EVALUATION_CUSTOMERS = 5_000
BOOTSTRAP_REFITS = 50
BOOTSTRAP_N_INIT = 10
SEEDS = 20
SELECTION_REFITS, SELECTION_N_INIT = 5, 5
PERMUTATIONS = 5


@dataclass(frozen=True)
class Stability:
    """Adjusted Rand indexes of `refits` refits against the model: 1 is the same segments, 0 is chance.

    `low` is their 5th percentile; `jaccard` has, by segment_id, the mean Jaccard index of the segment with
    the segment of each refit that is most like it (1: the same customers).
    """

    mean: float
    low: float
    worst: float
    refits: int
    jaccard: dict[int, float]


@dataclass(frozen=True)
class Migrations:
    """Who changed segment between two versions.

    `moves` has one row per (from_segment_id, to_segment_id) with its customers, those who stayed included;
    `share` is that of the movers among the customers of both versions (0 where there are none). By the model
    moved whom the version before puts elsewhere with the same features, by behaviour the others.
    """

    share: float
    model_share: float
    behaviour_share: float
    customers_in_both: int
    joined: int
    left: int
    moves: pd.DataFrame


@dataclass(frozen=True)
class Before:
    """What a challenger is compared with: the version in use, and the one of 90 days ago if there is one.

    `ids` are the segment_id that the version in use gave its own training's customers. A model of other
    features is only reported: that it disagrees is why the features changed.
    """

    model: SegmentModel
    ids: "pd.Series[int]"
    model_90_days: SegmentModel | None = None


@dataclass(frozen=True)
class Evaluation:
    """All that is known of a model before the gate judges it; `migrations` is None for a first version.

    `summary` is that of summarize_segments, `selection` of selection_table, `projection` of project.
    """

    summary: pd.DataFrame
    stability: Stability
    seed_agreement: float
    silhouette: float
    permuted_silhouette: float
    selection: pd.DataFrame
    projection: pd.DataFrame
    migrations: Migrations | None
    disagreement: float | None
    disagreement_90_days: float | None
    untrue: dict[str, str]

    def figures(self) -> GateFigures:
        """Return what the gate judges."""
        return GateFigures(
            silhouette_gain=self.silhouette - self.permuted_silhouette,
            smallest_segment_share=float(self.summary["customer_share"].min()),
            mean_stability=self.stability.mean,
            low_stability=self.stability.low,
            segment_stability=min(self.stability.jaccard.values()),
            seed_agreement=self.seed_agreement,
            disagreement=self.disagreement,
            disagreement_90_days=self.disagreement_90_days,
            untrue_names=self.untrue,
        )


def evaluate(
    model: SegmentModel,
    customers: pd.DataFrame,
    before: Before | None,
    seconds: dict[str, float],
) -> Evaluation:
    """Evaluate a model on the customers that it was fitted to, as a challenger of `before` if there is one.

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
        chance = permuted_silhouette(model, sample)
    with measured(seconds, "choice of k"):
        selection = selection_table(sample, seed)
    return Evaluation(
        summary=summarize_segments(model, customers, model.labels_),
        stability=stability,
        seed_agreement=agreement,
        silhouette=separation,
        permuted_silhouette=chance,
        selection=selection,
        projection=project(model, sample),
        migrations=compare(before, model, customers) if before else None,
        disagreement=_disagreement(before.model if before else None, model, customers),
        disagreement_90_days=_disagreement(before.model_90_days if before else None, model, customers),
        untrue=untrue_names(model, customers, model.labels_),
    )


def _disagreement(other: SegmentModel | None, model: SegmentModel, customers: pd.DataFrame) -> float | None:
    """Return the share of customers whom the other model puts elsewhere by the same features."""
    if other is None or [one.name for one in other.features_] != [one.name for one in model.features_]:
        return None
    return float((other.predict(customers) != model.labels_).mean())


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
    with one_thread():
        return float(silhouette_score(model.standardize(customers), labels))


def permuted_silhouette(model: SegmentModel, customers: pd.DataFrame) -> float:
    """Return the mean silhouette of K-means on the same columns, each permuted: what no structure scores."""
    random = np.random.default_rng(model.random_state)
    columns = model.standardize(customers).T
    scores = []
    with one_thread():
        for number in range(PERMUTATIONS):
            shuffled = np.column_stack([random.permutation(column) for column in columns])
            labels = KMeans(model.n_clusters, n_init=5, random_state=number).fit_predict(shuffled)
            scores.append(silhouette_score(shuffled, labels))
    return float(np.mean(scores))


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
    indexes, jaccards = [], []
    ids = sorted(labels.unique())
    refits = refits or BOOTSTRAP_REFITS
    for refit in range(refits):
        drawn = customers.iloc[random.integers(0, len(customers), len(customers))]
        refitted = SegmentModel(k, n_init=n_init, random_state=seed + refit)
        refitted.fit_clusters(drawn)
        again = refitted.nearest(customers)
        indexes.append(adjusted_rand_score(labels, again))
        both = contingency_matrix(labels, again)
        either = both.sum(axis=1, keepdims=True) + both.sum(axis=0) - both
        jaccards.append((both / either).max(axis=1))
    return Stability(
        mean=float(np.mean(indexes)),
        low=float(np.percentile(indexes, 5)),
        worst=float(np.min(indexes)),
        refits=refits,
        jaccard=dict(zip(map(int, ids), np.mean(jaccards, axis=0).tolist(), strict=True)),
    )


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
    FIGURES (purchase_day_value: revenue / purchase days; the others: means over customers).
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
    table[PURCHASE_DAY_VALUE.name] = cents / 100 / groups[PURCHASE_DAYS.name].sum()
    return table


def untrue_names(model: SegmentModel, customers: pd.DataFrame, ids: "pd.Series[int]") -> dict[str, str]:
    """Return, by the segment's name, a sentence on the first claim that its customers do not bear out."""
    table, shop = profile(customers, ids)
    untrue = {}
    for archetype in ARCHETYPES:
        if archetype.segment_id not in model.segments_:
            continue
        claims = false_claims(archetype, archetype.segment_id, table, shop)
        if claims:
            value = table[claims[0].figure].get(archetype.segment_id, float("nan"))
            untrue[archetype.name] = (
                f"of {archetype.name} it is not true that {claims[0].words}:"
                f" {claims[0].figure} is {value:,.2f}."
            )
    return untrue


def compare(before: Before, model: SegmentModel, customers: pd.DataFrame) -> Migrations:
    """Compare the segments of the version in use, as its training gave them, with the new ones."""
    after = model.labels_
    both = pd.concat({"from_segment_id": before.ids, "to_segment_id": after}, axis=1, join="inner")
    moves = both.value_counts().rename("customers").reset_index()
    moves = moves.sort_values(["from_segment_id", "to_segment_id"], ignore_index=True)
    moved = both["from_segment_id"] != both["to_segment_id"]
    now_before = before.model.predict(customers).loc[both.index]
    by_model = moved & (now_before != both["to_segment_id"])
    among = max(len(both), 1)
    return Migrations(
        share=int(moved.sum()) / among,
        model_share=int(by_model.sum()) / among,
        behaviour_share=int((moved & ~by_model).sum()) / among,
        customers_in_both=len(both),
        joined=len(after) - len(both),
        left=len(before.ids) - len(both),
        moves=moves,
    )


def project(model: SegmentModel, customers: pd.DataFrame) -> pd.DataFrame:
    """Return the customers' first two principal components (component_1, component_2) and segment_id."""
    with one_thread():
        components = PCA(n_components=2, svd_solver="full").fit_transform(model.standardize(customers))
    table = pd.DataFrame(components, index=customers.index, columns=["component_1", "component_2"])
    table["segment_id"] = model.predict(customers)
    return table


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
