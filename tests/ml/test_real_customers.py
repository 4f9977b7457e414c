"""The segments of the shop's real customers are large, stable and what their names say."""

from pathlib import Path

import pandas as pd
import pytest

from ml.evaluation import bootstrap_stability, seed_agreement, summarize_segments, untrue_names
from ml.features import CustomerFeatures
from ml.segmentation import SegmentModel
from tests.ml.customers import real_customers

BIG_SPENDERS, AT_RISK, OCCASIONAL, CHAMPIONS, LOYAL = range(5)


@pytest.fixture(scope="module")
def features(real_data: Path) -> CustomerFeatures:
    return real_customers(real_data)


@pytest.fixture(scope="module")
def model(features: CustomerFeatures) -> SegmentModel:
    return SegmentModel().fit(features.frame)


@pytest.fixture(scope="module")
def summary(features: CustomerFeatures, model: SegmentModel) -> pd.DataFrame:
    return summarize_segments(model, features.frame, model.labels_)


def test_every_customer_is_in_a_segment_and_none_is_tiny(
    features: CustomerFeatures, summary: pd.DataFrame
) -> None:
    assert summary["customers"].sum() == len(features.frame) == 1468
    assert summary["customer_share"].min() >= 0.05


def test_the_names_are_true(summary: pd.DataFrame) -> None:
    assert untrue_names(summary) == []
    assert summary["frequency"].idxmax() == summary["monetary"].idxmax() == CHAMPIONS
    assert summary["recency_days"].idxmax() == AT_RISK
    assert summary["frequency"].idxmin() == summary["monetary"].idxmin() == OCCASIONAL
    assert summary["average_order_value"].idxmax() == BIG_SPENDERS
    assert summary["recency_days"].nsmallest(2).index.tolist() == [LOYAL, CHAMPIONS]
    order_values = summary["average_order_value"].drop(BIG_SPENDERS)
    assert summary.loc[BIG_SPENDERS, "average_order_value"] > 1.5 * order_values.max()


def test_resampled_customers_give_the_same_segments(features: CustomerFeatures, model: SegmentModel) -> None:
    stability = bootstrap_stability(features.frame, model.labels_, 5, seed=0)

    assert stability.refits == 50
    assert stability.mean >= 0.88
    assert stability.worst >= 0.75


def test_twenty_seeds_give_the_same_segments(features: CustomerFeatures) -> None:
    assert seed_agreement(features.frame, 5, range(20)) >= 0.99
