"""Whether the customers have changed since the model in use was fitted: the population stability index."""

import numpy as np
import pandas as pd
from pydantic import Field
from pydantic_settings import SettingsConfigDict

from include.settings import EnvironmentSettings
from ml.segmentation import FittedFeature

BINS = 10
EMPTY = 1e-4  # the share that an empty bin counts as: its logarithm must be finite


class RefitSettings(EnvironmentSettings):
    """When a model is fitted anew; each environment variable is ML_ and the field's name in upper case."""

    model_config = SettingsConfigDict(env_prefix="ML_")

    refit_days: int = Field(30, ge=1, description="Days after which a model is fitted anew.")
    max_drift: float = Field(
        0.25, gt=0, description="Population stability index of a feature beyond which a model is fitted anew."
    )


def drift(before: pd.DataFrame, now: pd.DataFrame, features: tuple[FittedFeature, ...]) -> dict[str, float]:
    """Return the population stability index of each feature between two frames of customers.

    The bins are the deciles of `before`, and one for customers without a value. Below 0.1 little has changed,
    above 0.25 much.
    """
    return {one.name: _index(before[one.name], now[one.name]) for one in features}


def _index(before: "pd.Series[float]", now: "pd.Series[float]") -> float:
    edges = np.unique(before.dropna().quantile(np.linspace(0, 1, BINS + 1)).to_numpy())[1:-1]

    def shares(values: "pd.Series[float]") -> "np.typing.NDArray[np.float64]":
        bins = np.where(values.isna(), len(edges) + 1, np.searchsorted(edges, values.fillna(0), side="left"))
        return np.maximum(np.bincount(bins, minlength=len(edges) + 2) / len(values), EMPTY)

    then, since = shares(before), shares(now)
    return float(((since - then) * np.log(since / then)).sum())
