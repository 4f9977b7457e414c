"""Segments keep their meaning, their model keeps its bits, and odd customers get a defined answer."""

import json

import numpy as np
import pandas as pd
import pytest

from ml.archetypes import ARCHETYPES
from ml.evaluation import summarize_segments, untrue_names
from ml.features import CustomerFeatures, check_features
from ml.segmentation import (
    SegmentationError,
    SegmentModel,
    fit_pipeline,
    fit_segments,
    predict,
    segments_table,
)
from tests.ml.customers import made_up_customers

NAMES = {one.segment_id: one.name for one in ARCHETYPES}


@pytest.fixture(scope="module")
def features() -> CustomerFeatures:
    return check_features(made_up_customers(), "made up")


@pytest.fixture(scope="module")
def model(features: CustomerFeatures) -> SegmentModel:
    return fit_segments(features.frame)


def test_every_archetype_is_found_and_its_name_is_true(
    features: CustomerFeatures, model: SegmentModel
) -> None:
    summary = summarize_segments(model, features.frame, model.assign(features.frame))

    assert model.segments == NAMES
    assert untrue_names(summary) == []
    assert summary.loc[0, "average_order_value"] == pytest.approx(400, rel=0.1)
    assert summary.loc[1, "recency_days"] == pytest.approx(275, rel=0.1)
    assert summary.loc[3, "frequency"] == pytest.approx(46, rel=0.1)


def test_the_order_of_the_rows_changes_nothing(model: SegmentModel) -> None:
    shuffled = made_up_customers().sample(frac=1, random_state=9)

    assert fit_segments(check_features(shuffled, "shuffled").frame).to_json() == model.to_json()


def test_a_stored_model_is_the_model(features: CustomerFeatures, model: SegmentModel) -> None:
    stored = model.to_json()
    loaded = SegmentModel.from_json(stored)

    assert loaded.features == model.features
    assert (loaded.centroids == model.centroids).all()
    assert loaded.to_json() == stored
    pd.testing.assert_series_equal(loaded.assign(features.frame), model.assign(features.frame))


def test_the_model_assigns_as_the_pipeline_does(features: CustomerFeatures, model: SegmentModel) -> None:
    clusters = predict(fit_pipeline(features.frame, k=5, seed=0), features.frame)

    pairs = set(zip(clusters, model.assign(features.frame), strict=True))

    assert len(pairs) == 5  # one segment to a cluster


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
    segments = fit_segments(features.frame, k=7).segments

    assert segments == {**NAMES, 5: "Further Segment 1", 6: "Further Segment 2"}


def test_with_fewer_segments_the_names_stay_those_of_archetypes(features: CustomerFeatures) -> None:
    segments = fit_segments(features.frame, k=3).segments

    assert len(segments) == 3
    assert segments.items() <= NAMES.items()


@pytest.mark.parametrize("k", [-1, 0, 1, 11])
def test_a_k_out_of_range_is_refused(features: CustomerFeatures, k: int) -> None:
    with pytest.raises(SegmentationError, match=f"k is {k}; it must be from 2 to 10"):
        fit_segments(features.frame, k=k)


@pytest.mark.parametrize("customers", [0, 3, 49])
def test_too_few_customers_are_refused(customers: int) -> None:
    frame = check_features(made_up_customers().head(customers), "few").frame

    with pytest.raises(SegmentationError, match=f"^{customers} customers .* too few for 5 segments: 50 are"):
        fit_segments(frame)


def test_a_constant_feature_is_refused() -> None:
    frame = check_features(made_up_customers().assign(recency_days=7), "constant").frame

    with pytest.raises(SegmentationError, match=r"^recency_days is 7 for all 600 customers"):
        fit_segments(frame)


def test_customers_who_are_all_alike_but_for_a_few_kinds_are_refused() -> None:
    kinds = made_up_customers().head(3)
    frame = pd.concat([kinds] * 40).assign(customer_id=np.arange(120))

    with pytest.raises(SegmentationError, match="3 different customers cannot make 5 segments"):
        fit_segments(check_features(frame, "three kinds").frame)


def test_one_giant_customer_moves_nobody_else(features: CustomerFeatures, model: SegmentModel) -> None:
    giant = pd.DataFrame(
        [
            {
                "customer_id": 1,
                "recency_days": 0,
                "frequency": 100_000,
                "monetary": 1e10,
                "buying_span_days": 3650,
            }
        ]
    )

    customers = check_features(pd.concat([made_up_customers(), giant]), "with a giant").frame
    segments = fit_segments(customers).assign(customers)

    assert segments[1] == 3  # a champion among others
    assert (segments.drop(1) == model.assign(features.frame)).mean() >= 0.99


def test_new_customers_are_assigned_without_a_training(model: SegmentModel) -> None:
    newcomer = check_features(
        pd.DataFrame(
            [
                {
                    "customer_id": 7,
                    "recency_days": 20,
                    "frequency": 60,
                    "monetary": 9000,
                    "buying_span_days": 200,
                }
            ]
        ),
        "newcomer",
    )

    table = segments_table(model, model.assign(newcomer.frame))

    assert table.to_dict("records") == [
        {"customer_id": 7, "segment_id": 3, "segment_name": "Champions (VIPs)"}
    ]
