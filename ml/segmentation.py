"""The segment model: K-means on shaped and standardised features, its clusters named after the archetypes.

The same customers, k and seed give the same model on any number of cores and in any order of rows.
"""

import json
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Self, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import pairwise_distances_argmin
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from ml.archetypes import ARCHETYPES, FIGURES, false_claims, profile
from ml.features import CUSTOMER_ID, IS_REPEAT, PURCHASE_DAY_VALUE, PURCHASE_DAYS, RECENCY, SILENCE, Floats

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ModelFeature:
    """How a feature enters the model: log1p(value / unit), standardised, times weight.

    Well above the unit the logarithm dampens a feature (a giant order moves no centroid), well below it is
    all but linear. The weight scales the feature's part in the distance between customers. With `in_medians`
    the unit counts the shop's own medians, so that no currency matters. A customer without a value stands at
    the mean.
    """

    name: str
    unit: float
    weight: float = 1.0
    in_medians: bool = False


# Found by experiment on 2019-06-30 and 2019-09-30: names that are true, stable, no small segment.
MODEL_FEATURES = (
    ModelFeature(SILENCE.name, unit=30, weight=1.3),
    ModelFeature(PURCHASE_DAYS.name, unit=1, weight=0.35),
    ModelFeature(PURCHASE_DAY_VALUE.name, unit=1, weight=0.5, in_medians=True),
    ModelFeature(IS_REPEAT.name, unit=1, weight=0.65),
)

MAX_DEVIATION = 3.0  # standard deviations from the mean: a giant customer is no segment of their own
DEFAULT_K = 5
MIN_K, MAX_K = 2, 10
N_INIT = 20
FALSE_CLAIM = 1_000.0  # above any distance between levels
MIN_CUSTOMERS_PER_SEGMENT = 10  # on average; below that neither a mean nor a stability means anything
MODEL_FORMAT = 1


class SegmentationError(Exception):
    """These customers cannot be segmented, or a stored model cannot be used: one clear sentence."""


@dataclass(frozen=True)
class FittedFeature:
    """A feature's place in the model: weight * (log1p(value / unit) - mean) / scale, within MAX_DEVIATION."""

    name: str
    unit: float
    weight: float
    mean: float
    scale: float


class SegmentModel(ClusterMixin, BaseEstimator):
    """A scikit-learn clusterer whose labels are segment ids.

    Its X, `customers`, is the frame of CustomerFeatures: one row per customer, indexed by customer_id, with
    the columns FEATURE_NAMES. Labels are a Series of segment_id with that index.

    Args:
        n_clusters: Number of segments, MIN_K to MAX_K.
        n_init: Number of random starts of K-means, of which the one with the least inertia counts.
        random_state: Seed of these starts.

    Attributes:
        features_: The model's features, with the means and scales that were fitted.
        segments_: Name by segment_id, in order of segment_id.
        cluster_centers_: Centroids in standardised units, shape (n_clusters, features), ordered as segments_.
        inertia_: Sum of the squared distances of the customers to their centroids.
        labels_: Segment ids of the customers that the model was fitted to.

    A model from `from_json` has the first three: it can predict.
    """

    features_: tuple[FittedFeature, ...]
    segments_: dict[int, str]
    cluster_centers_: Floats
    inertia_: float
    labels_: "pd.Series[int]"

    def __init__(self, n_clusters: int = DEFAULT_K, *, n_init: int = N_INIT, random_state: int = 0) -> None:
        self.n_clusters = n_clusters
        self.n_init = n_init
        self.random_state = random_state

    def fit(self, customers: pd.DataFrame, y: object = None) -> Self:
        """Fit the model; raises SegmentationError if the customers cannot give n_clusters segments.

        With fewer than 5 clusters the archetypes that fit worst are left out; with more, the clusters that
        fit none become `Further Segment 1`, ... with ids from 5 on, by falling revenue.
        """
        check_segmentable(customers, self.n_clusters)
        named = name_clusters(customers, self.fit_clusters(customers), self.n_clusters)
        order = sorted(named, key=lambda cluster: named[cluster][0])
        self.segments_ = dict(named[cluster] for cluster in order)
        self.cluster_centers_ = self.cluster_centers_[order]
        self.labels_ = self.predict(customers)
        return self

    def fit_clusters(self, customers: pd.DataFrame) -> Labels:
        """Fit features and centroids, which stay without names, and return each customer's cluster.

        Without the checks of `fit`: a resample may hold fewer distinct customers than n_clusters.
        """
        # Partial sums of several threads would be added in any order. Empty clusters do no harm.
        with one_thread(), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            units = [_unit(one, customers[one.name]) for one in MODEL_FEATURES]
            scaler = StandardScaler().fit(_shaped(customers, [one.name for one in MODEL_FEATURES], units))
            self.features_ = tuple(
                FittedFeature(one.name, unit, one.weight, float(mean), float(scale))
                for one, unit, mean, scale in zip(
                    MODEL_FEATURES, units, scaler.mean_, scaler.scale_, strict=True
                )
            )
            # To the end (tol 0): stopped earlier, two seeds leave a few customers on either side of a border.
            clusters = KMeans(self.n_clusters, n_init=self.n_init, random_state=self.random_state, tol=0)
            clusters.fit(self.standardize(customers))
        self.cluster_centers_ = clusters.cluster_centers_
        self.inertia_ = float(clusters.inertia_)
        return cast(Labels, clusters.labels_)

    def nearest(self, customers: pd.DataFrame) -> Labels:
        """Return the position in cluster_centers_ of each customer's nearest centroid."""
        with one_thread():
            return cast(Labels, pairwise_distances_argmin(self.standardize(customers), self.cluster_centers_))

    def predict(self, customers: pd.DataFrame) -> "pd.Series[int]":
        """Return the segment_id of each customer's nearest centroid; raises NotFittedError before `fit`."""
        check_is_fitted(self)
        ids = np.array(list(self.segments_), dtype=np.int64)[self.nearest(customers)]
        return pd.Series(ids, index=customers.index, name="segment_id")

    def standardize(self, customers: pd.DataFrame) -> Floats:
        """Return the customers' standardised features, shape (customers, features)."""
        means = np.array([one.mean for one in self.features_])
        scales = np.array([one.scale for one in self.features_])
        weights = np.array([one.weight for one in self.features_])
        shaped = _shaped(
            customers, [one.name for one in self.features_], [one.unit for one in self.features_]
        )
        deviations = np.clip((shaped - means) / scales, -MAX_DEVIATION, MAX_DEVIATION)
        return cast(Floats, np.nan_to_num(deviations * weights))

    def to_json(self) -> str:
        """Return what `predict` needs as JSON; numbers keep every bit."""
        return json.dumps(
            {
                "format": MODEL_FORMAT,
                "features": [asdict(one) for one in self.features_],
                "segments": [
                    {"segment_id": segment_id, "segment_name": name, "centroid": centroid}
                    for (segment_id, name), centroid in zip(
                        self.segments_.items(), self.cluster_centers_.tolist(), strict=True
                    )
                ],
            },
            indent=2,
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
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
        model = cls(len(segments))
        model.features_, model.segments_, model.cluster_centers_ = features, segments, centroids
        return model


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()  # reads the process's memory map, which takes longer than most fits


def one_thread() -> AbstractContextManager[Any]:
    """Let the libraries of numpy and scikit-learn compute in one thread."""
    return cast("AbstractContextManager[Any]", _libraries().limit(limits=1))


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
        known = values.dropna()
        if known.empty or (known == known.iloc[0]).all():
            raise SegmentationError(
                f"{name} is {known.max():g} for all {len(known)} customers who have it:"
                " a constant tells no segments apart."
            )
    distinct = len(features.drop_duplicates())
    if distinct < k:
        raise SegmentationError(f"{distinct} different customers cannot make {k} segments.")


def name_clusters(customers: pd.DataFrame, labels: Labels, k: int) -> dict[int, tuple[int, str]]:
    """Return (segment_id, name) of each cluster: the pairing with archetypes that fits best overall.

    First come the claims of the names, as few false ones as possible, then the distance from the levels.
    """
    levels = cluster_levels(customers, labels, k)
    wanted = np.array([[archetype.levels[figure] for figure in FIGURES] for archetype in ARCHETYPES])
    distance = ((levels[:, None, :] - wanted[None, :, :]) ** 2).sum(axis=2)
    table, shop = profile(customers, pd.Series(labels, index=customers.index))
    distance += FALSE_CLAIM * np.array(
        [[len(false_claims(one, cluster, table, shop)) for one in ARCHETYPES] for cluster in range(k)]
    )
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
    table["segment_name"] = table["segment_id"].map(model.segments_)
    return table


def model_table(model: SegmentModel, version: str, role: str) -> pd.DataFrame:
    """Return what scoring in the warehouse needs: a row per segment and feature, columns of MODEL_COLUMNS."""
    return pd.DataFrame(
        {
            "model_version": version,
            "model_role": role,
            "segment_id": segment_id,
            "segment_name": segment_name,
            "feature_name": feature.name,
            "feature_unit": feature.unit,
            "feature_weight": feature.weight,
            "feature_mean": feature.mean,
            "feature_scale": feature.scale,
            "centroid": float(coordinate),
        }
        for (segment_id, segment_name), centroid in zip(
            model.segments_.items(), model.cluster_centers_, strict=True
        )
        for feature, coordinate in zip(model.features_, centroid, strict=True)
    )


def _unit(feature: ModelFeature, values: "pd.Series[float]") -> float:
    """Return the unit in the feature's own measure; the median is that of the values above 0."""
    return feature.unit * float(values[values > 0].median()) if feature.in_medians else feature.unit


def _shaped(customers: pd.DataFrame, names: Sequence[str], units: Sequence[float]) -> Floats:
    """Return log1p(value / unit), shape (customers, features), NaN where there is no value."""
    values = customers[list(names)].to_numpy(dtype=np.float64)
    return cast(Floats, np.log1p(values / np.array(units)))
