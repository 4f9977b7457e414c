"""The figures about a segmentation are right where the answer is known."""

import warnings
from decimal import Decimal

import pandas as pd
import pytest

from ml import evaluation
from ml.features import CustomerFeatures, check_features
from ml.segmentation import SegmentModel
from tests.ml.customers import made_up_customers


@pytest.fixture(scope="module")
def features() -> CustomerFeatures:
    return check_features(made_up_customers(300), "made up")


def ids(segments: dict[int, int]) -> "pd.Series[int]":
    return pd.Series(segments, name="segment_id")


def test_clear_segments_are_stable_and_chance_is_not(features: CustomerFeatures) -> None:
    labels = SegmentModel().fit(features.frame).labels_
    chance = labels.sample(frac=1, random_state=1).set_axis(labels.index)

    stable = evaluation.bootstrap_stability(features.frame, labels, 5, seed=0, refits=5)
    unstable = evaluation.bootstrap_stability(features.frame, chance, 5, seed=0, refits=5)

    assert stable.worst > 0.95
    assert abs(unstable.mean) < 0.05
    assert stable.refits == 5


def test_the_same_seed_gives_the_same_stability(features: CustomerFeatures) -> None:
    labels = SegmentModel().fit(features.frame).labels_

    first, again = (evaluation.bootstrap_stability(features.frame, labels, 5, seed=4, refits=3) for _ in "ab")

    assert first == again


@pytest.mark.slow
def test_the_choice_of_k_covers_2_to_10_and_finds_the_five_groups(features: CustomerFeatures) -> None:
    table = evaluation.selection_table(features.frame, seed=0)

    assert table["k"].tolist() == list(range(2, 11))
    assert (table["inertia"].diff().dropna() < 0).all()
    assert table.set_index("k")["silhouette"].idxmax() == 5
    assert table["stability_worst"].le(table["stability_mean"]).all()


@pytest.mark.slow
def test_few_customers_are_compared_for_few_k_only() -> None:
    frame = check_features(made_up_customers(60), "few").frame

    assert evaluation.selection_table(frame, seed=0)["k"].max() == 6


def test_migrations_count_movers_joiners_and_leavers(features: CustomerFeatures) -> None:
    """The version before still says what it said, so that the new one moved customer by customer."""
    model = SegmentModel().fit(features.frame)
    old = SegmentModel().fit(features.frame)
    before = model.labels_.copy()
    first, second, third = before.index[:3]
    before[first] = (before[first] + 1) % 5  # has come here by behaviour since
    before = pd.concat([before.drop(third), ids({1: 1})])

    migrations = evaluation.compare(evaluation.Before(old, before), model, features.frame)

    assert migrations.share == migrations.behaviour_share == 1 / 299
    assert migrations.model_share == 0
    assert (migrations.customers_in_both, migrations.joined, migrations.left) == (299, 1, 1)
    assert migrations.moves["customers"].sum() == 299
    assert second in before.index


def test_versions_without_a_common_customer_have_no_movers(features: CustomerFeatures) -> None:
    model = SegmentModel().fit(features.frame)

    assert evaluation.compare(evaluation.Before(model, ids({1: 0})), model, features.frame).share == 0


def test_a_name_that_is_not_true_is_found(features: CustomerFeatures) -> None:
    model = SegmentModel().fit(features.frame)
    swapped = model.labels_.replace({3: 4, 4: 3})

    untrue = evaluation.untrue_names(model, features.frame, swapped)

    assert list(untrue) == ["Champions (VIPs)"]
    assert untrue["Champions (VIPs)"].startswith(
        "of Champions (VIPs) it is not true that no other segment has more purchase days: purchase_days is"
    )


def test_structure_scores_above_permuted_columns(features: CustomerFeatures) -> None:
    model = SegmentModel().fit(features.frame)

    assert evaluation.silhouette(model, features.frame) > 0.1 + evaluation.permuted_silhouette(
        model, features.frame
    )


def test_revenue_is_exact_and_an_empty_segment_is_shown(features: CustomerFeatures) -> None:
    model = SegmentModel().fit(features.frame)
    segments = pd.Series([0, 1] * 150, index=features.frame.index)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        summary = evaluation.summarize_segments(model, features.frame, segments)

    exact = sum(Decimal(f"{one:.2f}") for one in features.frame["monetary"])
    assert sum(summary["revenue"]) == exact
    assert summary["customers"].tolist() == [150, 150, 0, 0, 0]
    assert summary.loc[2, "revenue"] == 0
    assert summary["recency_days"].isna().tolist() == [False, False, True, True, True]


def test_many_customers_are_evaluated_on_a_seeded_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "EVALUATION_CUSTOMERS", 100)
    frame = check_features(made_up_customers(300), "made up").frame

    sample = evaluation.evaluation_sample(frame, seed=1)

    assert len(sample) == 100
    pd.testing.assert_frame_equal(sample, evaluation.evaluation_sample(frame, seed=1))
    assert not sample.index.equals(evaluation.evaluation_sample(frame, seed=2).index)
