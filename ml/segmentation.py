"""The segment model: K-means on shaped and standardised features, its clusters named after the archetypes.

The same customers, k and seed give the same model on any number of cores and in any order of rows.
"""

import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import pairwise_distances_argmin
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from ml.archetypes import ARCHETYPES, FIGURES
from ml.features import AVERAGE_ORDER_VALUE, BUYING_SPAN, CUSTOMER_ID, FREQUENCY, RECENCY, Floats

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ModelFeature:
    """How a feature enters the model: log1p(value / unit), standardised, times weight.

    Well above the unit the logarithm dampens a feature (a giant order moves no centroid), well below it is
    all but linear. The weight is the feature's say in the distance between customers.
    """

    name: str
    unit: float
    weight: float = 1.0


# Found by experiment: stable, no small segment, and names that are true.
MODEL_FEATURES = (
    ModelFeature(RECENCY.name, unit=90),
    ModelFeature(FREQUENCY.name, unit=1),
    ModelFeature(AVERAGE_ORDER_VALUE.name, unit=80, weight=1.5),
    ModelFeature(BUYING_SPAN.name, unit=7),
)

FARTHEST = 3.0  # standard deviations from the mean: a giant customer is no segment of their own
DEFAULT_K = 5
MIN_K, MAX_K = 2, 10
STARTS = 20  # K-means keeps the best of so many random starts
MIN_CUSTOMERS_PER_SEGMENT = 10  # on average; below that neither a mean nor a stability means anything
MODEL_FORMAT = 1


class SegmentationError(Exception):
    """These customers cannot be segmented, or a stored model cannot be used: one clear sentence."""


@dataclass(frozen=True)
class FittedFeature:
    """A feature's place in the model: weight * (log1p(value / unit) - mean) / scale, capped at FARTHEST."""

    name: str
    unit: float
    weight: float
    mean: float
    scale: float


@dataclass(frozen=True)
class SegmentModel:
    """What assigns a customer to a segment: the nearest centroid.

    `centroids` has one row per segment, in the order of `segments` (id to name), in standardised units.
    """

    features: tuple[FittedFeature, ...]
    segments: dict[int, str]
    centroids: Floats

    def standardize(self, customers: pd.DataFrame) -> Floats:
        """Return the customers' standardised features, shape (customers, features)."""
        means = np.array([one.mean for one in self.features])
        scales = np.array([one.scale for one in self.features])
        return _weighed((_shaped(customers, self.features) - means) / scales, self.features)

    def assign(self, customers: pd.DataFrame) -> "pd.Series[int]":
        """Return each customer's segment_id, by customer_id."""
        with threadpool_limits(1):
            nearest = pairwise_distances_argmin(self.standardize(customers), self.centroids)
        ids = np.array(list(self.segments), dtype=np.int64)[nearest]
        return pd.Series(ids, index=customers.index, name="segment_id")

    def to_json(self) -> str:
        """Return the model as JSON; numbers keep every bit."""
        return json.dumps(
            {
                "format": MODEL_FORMAT,
                "features": [asdict(one) for one in self.features],
                "segments": [
                    {"segment_id": segment_id, "segment_name": name, "centroid": centroid}
                    for (segment_id, name), centroid in zip(
                        self.segments.items(), self.centroids.tolist(), strict=True
                    )
                ],
            },
            indent=2,
        )

    @classmethod
    def from_json(cls, text: str) -> "SegmentModel":
        """Return the model that `to_json` wrote; raises SegmentationError if this code cannot use it."""
        try:
            stored = json.loads(text)
            if stored["format"] != MODEL_FORMAT:
                raise SegmentationError(
                    f"The model has format {stored['format']!r}; this code reads {MODEL_FORMAT}."
                )
            features = tuple(FittedFeature(**one) for one in stored["features"])
            segments = {int(one["segment_id"]): str(one["segment_name"]) for one in stored["segments"]}
            centroids = np.array([one["centroid"] for one in stored["segments"]], dtype=np.float64)
        except (KeyError, TypeError, ValueError) as error:
            raise SegmentationError(f"This is no stored segment model: {error!r}.") from error
        if not features or centroids.shape != (len(segments), len(features)):
            raise SegmentationError("The stored model's features and centroids do not fit together.")
        return cls(features, segments, centroids)


def make_pipeline(k: int, seed: int, starts: int = STARTS) -> Pipeline:
    """Return the unfitted pipeline: shape each feature, standardise, cluster."""
    return Pipeline(
        [
            ("shape", FunctionTransformer(_shaped, kw_args={"features": MODEL_FEATURES})),
            ("standardize", StandardScaler()),
            ("weigh", FunctionTransformer(_weighed, kw_args={"features": MODEL_FEATURES})),
            ("cluster", KMeans(n_clusters=k, n_init=starts, random_state=seed)),
        ]
    )


def fit_pipeline(customers: pd.DataFrame, k: int, seed: int, starts: int = STARTS) -> Pipeline:
    """Return the pipeline fitted on one thread: partial sums of several are added in any order."""
    with threadpool_limits(1), warnings.catch_warnings():
        # A resample of customers may hold fewer distinct ones than k; the empty clusters do no harm.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return make_pipeline(k, seed, starts).fit(customers)


def fit_segments(customers: pd.DataFrame, k: int = DEFAULT_K, seed: int = 0) -> SegmentModel:
    """Fit the model to a CustomerFeatures frame; raises SegmentationError if that cannot give k segments.

    With k below 5 the archetypes that fit worst are left out; above, the clusters that fit none become
    `Further Segment 1`, ... with ids from 5 on, by falling revenue.
    """
    check_segmentable(customers, k)
    pipeline = fit_pipeline(customers, k, seed)
    segments = name_clusters(customers, predict(pipeline, customers), k)
    order = sorted(segments, key=lambda cluster: segments[cluster][0])
    scaler, clusters = pipeline["standardize"], pipeline["cluster"]
    return SegmentModel(
        features=tuple(
            FittedFeature(one.name, one.unit, one.weight, float(mean), float(scale))
            for one, mean, scale in zip(MODEL_FEATURES, scaler.mean_, scaler.scale_, strict=True)
        ),
        segments=dict(segments[cluster] for cluster in order),
        centroids=clusters.cluster_centers_[order].astype(np.float64),
    )


def predict(pipeline: Pipeline, customers: pd.DataFrame) -> Labels:
    """Return the number of each customer's cluster, 0 to k - 1, without any meaning."""
    with threadpool_limits(1):
        return cast(Labels, pipeline.predict(customers).astype(np.int64))


def check_segmentable(customers: pd.DataFrame, k: int) -> None:
    """Raise SegmentationError unless the customers can give k segments."""
    if not MIN_K <= k <= MAX_K:
        raise SegmentationError(f"k is {k}; it must be from {MIN_K} to {MAX_K}.")
    needed = k * MIN_CUSTOMERS_PER_SEGMENT
    if len(customers) < needed:
        raise SegmentationError(
            f"{len(customers)} customers with an order are too few for {k} segments: {needed} are needed."
        )
    features = customers[[one.name for one in MODEL_FEATURES]]
    for name, values in features.items():
        if (values == values.iloc[0]).all():
            raise SegmentationError(
                f"{name} is {values.iloc[0]:g} for all {len(values)} customers:"
                " a constant tells no segments apart."
            )
    distinct = len(features.drop_duplicates())
    if distinct < k:
        raise SegmentationError(f"{distinct} different customers cannot make {k} segments.")


def name_clusters(customers: pd.DataFrame, labels: Labels, k: int) -> dict[int, tuple[int, str]]:
    """Return (segment_id, name) of each cluster: the pairing with archetypes that fits best overall."""
    levels = cluster_levels(customers, labels, k)
    wanted = np.array([[archetype.levels[figure] for figure in FIGURES] for archetype in ARCHETYPES])
    distance = ((levels[:, None, :] - wanted[None, :, :]) ** 2).sum(axis=2)
    named = {
        int(cluster): (ARCHETYPES[position].segment_id, ARCHETYPES[position].name)
        for cluster, position in zip(*linear_sum_assignment(distance), strict=True)
    }
    revenue = customers["monetary"].groupby(labels).sum()
    further = sorted(set(range(k)) - named.keys(), key=lambda cluster: -float(revenue.get(cluster, 0.0)))
    first_id = max(archetype.segment_id for archetype in ARCHETYPES) + 1
    for number, cluster in enumerate(further):
        named[cluster] = (first_id + number, f"Further Segment {number + 1}")
    return named


def cluster_levels(customers: pd.DataFrame, labels: Labels, k: int) -> Floats:
    """Return how far each cluster lies from the average customer, shape (k, len(FIGURES)), from -2 to 2.

    Each figure's cluster means are standardised and stretched, so that the farthest cluster is at 2 or -2.
    """
    figures = customers[list(FIGURES)].copy()
    skewed = [figure for figure in FIGURES if figure != RECENCY.name]
    figures[skewed] = np.log1p(figures[skewed])
    means = ((figures - figures.mean()) / figures.std(ddof=0)).groupby(labels).mean().reindex(range(k))
    return cast(Floats, (2 * means / means.abs().max()).fillna(0).to_numpy(dtype=np.float64))


def segments_table(model: SegmentModel, segment_ids: "pd.Series[int]") -> pd.DataFrame:
    """Return customer_id, segment_id and segment_name by customer_id: what the seed holds."""
    table: pd.DataFrame = segment_ids.rename_axis(CUSTOMER_ID).reset_index()
    table["segment_name"] = table["segment_id"].map(model.segments)
    return table


def _shaped(customers: pd.DataFrame, features: Sequence[ModelFeature | FittedFeature]) -> Floats:
    values = customers[[one.name for one in features]].to_numpy(dtype=np.float64)
    return cast(Floats, np.log1p(values / np.array([one.unit for one in features])))


def _weighed(standardized: Floats, features: Sequence[ModelFeature | FittedFeature]) -> Floats:
    capped = np.clip(standardized, -FARTHEST, FARTHEST)
    return cast(Floats, capped * np.array([one.weight for one in features]))
