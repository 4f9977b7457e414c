"""Segments keep their meaning, their model keeps its bits, and odd customers get a defined answer."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import adjusted_rand_score

from ml.archetypes import ARCHETYPES
from ml.evaluation import summarize_segments, untrue_names
from ml.features import CustomerFeatures, check_features
from ml.segmentation import SegmentationError, SegmentModel, segments_table
from tests.ml.customers import made_up_customers

NAMES = {one.segment_id: one.name for one in ARCHETYPES}


@pytest.fixture(scope="module")
def features() -> CustomerFeatures:
    return check_features(made_up_customers(), "made up")


@pytest.fixture(scope="module")
def model(features: CustomerFeatures) -> SegmentModel:
    return SegmentModel().fit(features.frame)


def test_every_archetype_is_found_and_its_name_is_true(
    features: CustomerFeatures, model: SegmentModel
) -> None:
    summary = summarize_segments(model, features.frame, model.labels_)

    assert model.segments_ == NAMES
    assert untrue_names(model, features.frame, model.labels_) == {}
    assert summary.loc[0, "purchase_day_value"] == pytest.approx(2_650, rel=0.1)
    assert summary.loc[1, "recency_days"] == pytest.approx(275, rel=0.1)
    assert summary.loc[3, "purchase_days"] == pytest.approx(9, rel=0.1)


def test_the_order_of_the_rows_changes_nothing(model: SegmentModel) -> None:
    shuffled = made_up_customers().sample(frac=1, random_state=9)
    customers = check_features(shuffled, "shuffled").frame

    assert SegmentModel().fit(customers).to_json() == model.to_json()


def test_a_stored_model_is_the_model(features: CustomerFeatures, model: SegmentModel) -> None:
    stored = model.to_json()
    loaded = SegmentModel.from_json(stored)

    assert loaded.features_ == model.features_
    assert (loaded.cluster_centers_ == model.cluster_centers_).all()
    assert loaded.to_json() == stored
    pd.testing.assert_series_equal(loaded.predict(features.frame), model.labels_)


FORMAT_1 = """{
  "format": 1,
  "features": [
    {"name": "recency_days", "unit": 90, "weight": 1.0, "mean": 0.5, "scale": 0.25},
    {"name": "average_order_value", "unit": 80, "weight": 1.5, "mean": 1.0, "scale": 0.5}
  ],
  "segments": [
    {"segment_id": 0, "segment_name": "Big Spenders", "centroid": [0.0, 3.0]},
    {"segment_id": 1, "segment_name": "At-Risk (Lapsing)", "centroid": [2.0, 0.0]},
    {"segment_id": 4, "segment_name": "Loyal Customers", "centroid": [-1.5, 0.0]}
  ]
}"""


def test_a_model_of_an_earlier_release_still_predicts() -> None:
    """Registries hold models of this format; recency, then order value decide here."""
    shoppers = pd.DataFrame(
        {"recency_days": [60, 300, 5], "average_order_value": [600.0, 150.0, 140.0]}, index=[7, 8, 9]
    )

    model = SegmentModel.from_json(FORMAT_1)

    assert model.predict(shoppers).to_dict() == {7: 0, 8: 1, 9: 4}
    assert json.loads(model.to_json()) == json.loads(FORMAT_1)


def test_scikit_learns_own_functions_work_on_the_model(
    features: CustomerFeatures, model: SegmentModel
) -> None:
    again = clone(model)

    with pytest.raises(NotFittedError):
        again.predict(features.frame)
    assert again.set_params(n_clusters=3).get_params() == {"n_clusters": 3, "n_init": 20, "random_state": 0}
    assert model.get_params()["n_clusters"] == 5
    assert set(again.fit_predict(features.frame)) == set(again.segments_)
    assert adjusted_rand_score(model.labels_, clone(model).fit_predict(features.frame)) == 1


def test_standardised_features_have_mean_0_and_the_deviation_of_their_weight(
    features: CustomerFeatures, model: SegmentModel
) -> None:
    standardised = model.standardize(features.frame)

    assert standardised.shape == (600, 4)
    assert standardised.mean(axis=0) == pytest.approx([0, 0, 0, 0], abs=0.01)
    repeat = features.frame["is_repeat"] > 0
    assert (standardised[~repeat, 0] == 0).all()  # who bought once has no silence: at the mean
    assert standardised[repeat, 0].std() == pytest.approx(1.3, abs=0.01)
    assert standardised[:, 1:].std(axis=0) == pytest.approx([0.35, 0.5, 0.65], abs=0.01)


def test_segments_belong_to_the_nearest_centroid(features: CustomerFeatures, model: SegmentModel) -> None:
    distances = np.linalg.norm(
        model.standardize(features.frame)[:, None, :] - model.cluster_centers_[None, :, :], axis=2
    )

    assert (model.labels_.to_numpy() == distances.argmin(axis=1)).all()
    assert (distances.min(axis=1) ** 2).sum() == pytest.approx(model.inertia_)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"format": 99}', '{"format": 1, "features": [], "segments": []}'],
)
def test_a_text_that_is_no_model_is_refused(text: str) -> None:
    with pytest.raises(SegmentationError):
        SegmentModel.from_json(text)


def test_a_model_with_a_centroid_too_short_is_refused(model: SegmentModel) -> None:
    stored = json.loads(model.to_json())
    for segment in stored["segments"]:
        segment["centroid"].pop()

    with pytest.raises(SegmentationError, match="do not fit together"):
        SegmentModel.from_json(json.dumps(stored))


def test_with_more_segments_the_further_ones_have_names_of_their_own(features: CustomerFeatures) -> None:
    segments = SegmentModel(7).fit(features.frame).segments_

    assert segments == {**NAMES, 5: "Further Segment 1", 6: "Further Segment 2"}


def test_with_fewer_segments_the_names_stay_those_of_archetypes(features: CustomerFeatures) -> None:
    segments = SegmentModel(3).fit(features.frame).segments_

    assert len(segments) == 3
    assert segments.items() <= NAMES.items()


@pytest.mark.parametrize("k", [-1, 0, 1, 11])
def test_a_k_out_of_range_is_refused(features: CustomerFeatures, k: int) -> None:
    with pytest.raises(SegmentationError, match=f"k is {k}; it must be from 2 to 10"):
        SegmentModel(k).fit(features.frame)


@pytest.mark.parametrize("customers", [0, 3, 49])
def test_too_few_customers_are_refused(customers: int) -> None:
    frame = check_features(made_up_customers().head(customers), "few").frame

    with pytest.raises(SegmentationError, match=f"^{customers} customers .* too few for 5 segments: 50 are"):
        SegmentModel().fit(frame)


def test_a_constant_feature_is_refused() -> None:
    frame = check_features(made_up_customers().assign(recency_days=7), "constant").frame

    with pytest.raises(SegmentationError, match=r"^silence_days is 7 for all 390 customers"):
        SegmentModel().fit(frame)


def test_customers_who_are_all_alike_but_for_a_few_kinds_are_refused() -> None:
    kinds = made_up_customers().drop_duplicates("purchase_days").head(3)
    frame = pd.concat([kinds] * 40).assign(customer_id=np.arange(120))

    with pytest.raises(SegmentationError, match="3 different customers cannot make 5 segments"):
        SegmentModel().fit(check_features(frame, "three kinds").frame)


def test_one_giant_customer_moves_nobody_else(features: CustomerFeatures, model: SegmentModel) -> None:
    giant = pd.DataFrame(
        [
            {
                "customer_id": 1,
                "recency_days": 0,
                "frequency": 100_000,
                "purchase_days": 3_000,
                "monetary": 1e10,
                "buying_span_days": 3650,
            }
        ]
    )

    customers = check_features(pd.concat([made_up_customers(), giant]), "with a giant").frame
    segments = SegmentModel().fit(customers).labels_

    assert segments[1] == 3  # a champion among others
    assert (segments.drop(1) == model.labels_).mean() >= 0.99


def test_new_customers_are_assigned_without_a_training(model: SegmentModel) -> None:
    newcomer = check_features(
        pd.DataFrame(
            [
                {
                    "customer_id": 7,
                    "recency_days": 20,
                    "frequency": 60,
                    "purchase_days": 9,
                    "monetary": 9000,
                    "buying_span_days": 200,
                }
            ]
        ),
        "newcomer",
    )

    table = segments_table(model, model.predict(newcomer.frame))

    assert table.to_dict("records") == [
        {"customer_id": 7, "segment_id": 3, "segment_name": "Champions (VIPs)"}
    ]
