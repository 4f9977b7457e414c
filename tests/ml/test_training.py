"""A training makes a version that can be used, promotes it if it may, and says why if it may not."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from ml import evaluation
from ml.features import CustomerFeatures, check_features
from ml.gate import CHECKS, GateSettings
from ml.registry import Registry, RegistryError
from ml.segmentation import SegmentationError
from ml.training import Training, train
from tests.ml.customers import made_up_customers

pytestmark = pytest.mark.slow

STRICT = GateSettings(min_silhouette_gain=0.99)


@pytest.fixture(autouse=True)
def few_refits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "BOOTSTRAP_REFITS", 3)
    monkeypatch.setattr(evaluation, "SEEDS", 2)
    monkeypatch.setattr(evaluation, "SELECTION_REFITS", 1)
    monkeypatch.setattr(evaluation, "MAX_K", 3)


@pytest.fixture(scope="module")
def features() -> CustomerFeatures:
    return check_features(made_up_customers(300), "made up")


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "registry")


def metrics(registry: Registry, training: Training) -> dict[str, object]:
    return dict(json.loads(registry.read(training.version.version, "metrics.json")))


def current(registry: Registry) -> str | None:
    pointer = registry.current()
    return pointer.version if pointer else None


def test_a_version_holds_all_that_is_needed_to_use_and_to_judge_it(
    features: CustomerFeatures, registry: Registry
) -> None:
    training = train(features, registry, seed=3)
    version = training.version.version

    assert training.promoted
    assert current(registry) == version
    model = registry.model(version)
    pd.testing.assert_series_equal(
        registry.segment_ids(version), model.predict(features.frame), check_index_type=False
    )
    seed = registry.read(version, "segments.csv").decode().splitlines()
    assert seed[0] == "customer_id,segment_id,segment_name"
    assert len(seed) == 301
    parameters = json.loads(registry.read(version, "parameters.json"))
    assert (parameters["k"], parameters["seed"]) == (5, 3)
    assert parameters["data_fingerprint"] == features.fingerprint() == training.version.fingerprint
    assert version.endswith(features.fingerprint()[:8])
    segments = metrics(registry, training)["segments"]
    assert isinstance(segments, list)
    revenue = sum(Decimal(segment["revenue"]) for segment in segments)
    assert revenue == sum(Decimal(f"{one:.2f}") for one in features.frame["monetary"])
    card = registry.read(version, "model_card.md").decode()
    for segment_name in model.segments_.values():
        assert f"| {segment_name} |" in card


def test_a_retraining_reports_who_moved(features: CustomerFeatures, registry: Registry) -> None:
    first = train(features, registry)
    lapsed = made_up_customers(300)
    lapsed.loc[lapsed["purchase_days"] == 3, "recency_days"] = 300

    second = train(check_features(lapsed, "lapsed"), registry, dry_run=True)

    record = metrics(registry, second)["migrations"]
    assert isinstance(record, dict)
    assert record["customers_in_both"] == 300
    assert 0.05 < record["share"] < 1
    assert record["share"] == pytest.approx(record["behaviour_share"] + record["model_share"])
    assert record["behaviour_share"] > record["model_share"]
    assert json.loads(registry.read(second.version.version, "parameters.json"))["compared_with"] == (
        first.version.version
    )


def test_the_same_features_again_move_nobody(features: CustomerFeatures, registry: Registry) -> None:
    train(features, registry)

    again = train(features, registry)

    record = metrics(registry, again)["migrations"]
    assert isinstance(record, dict)
    assert record["share"] == 0


def test_a_rejected_version_is_kept_and_the_old_one_stays(
    features: CustomerFeatures, registry: Registry
) -> None:
    good = train(features, registry)

    bad = train(features, registry, limits=STRICT)

    assert not bad.passed
    assert not bad.promoted
    assert current(registry) == good.version.version
    kept = registry.get(bad.version.version)
    assert kept.decision == "rejected"
    assert "must be at least 0.99" in kept.findings[0]


def test_an_override_of_what_failed_promotes_and_is_recorded(
    features: CustomerFeatures, registry: Registry
) -> None:
    other = train(features, registry, limits=STRICT, override=["mean_stability"])
    assert other.version.decision == "rejected"
    training = train(features, registry, limits=STRICT, override=["silhouette_gain"])

    pointer = registry.current()
    assert pointer is not None
    assert pointer.version == training.version.version
    assert pointer.forced
    assert training.version.decision == "forced"
    assert training.version.findings


def test_a_dry_run_promotes_nothing(features: CustomerFeatures, registry: Registry) -> None:
    training = train(features, registry, dry_run=True)

    assert training.passed
    assert training.version.dry_run
    assert current(registry) is None


def test_a_training_that_was_overtaken_promotes_nothing(
    features: CustomerFeatures, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    overtaking: list[Training] = []
    silhouette = evaluation.silhouette

    def overtaken(model: object, customers: object) -> float:
        if not overtaking:
            monkeypatch.setattr(evaluation, "silhouette", silhouette)
            overtaking.append(train(features, registry))
        return silhouette(model, customers)  # type: ignore[arg-type]

    monkeypatch.setattr(evaluation, "silhouette", overtaken)
    with pytest.raises(RegistryError, match="train again"):
        train(features, registry)

    assert current(registry) == overtaking[0].version.version


def test_a_version_can_be_trained_again_from_the_registry_alone(
    features: CustomerFeatures, registry: Registry
) -> None:
    version = train(features, registry).version.version

    again = train(registry.features(version), registry)

    assert registry.read(again.version.version, "model.json") == registry.read(version, "model.json")
    assert again.version.fingerprint == features.fingerprint()


def test_a_model_that_sees_the_same_customers_differently_is_rejected(
    features: CustomerFeatures, registry: Registry
) -> None:
    train(features, registry)

    other = train(features, registry, k=3)

    assert "disagreement" in other.gate.failed
    assert other.version.decision == "rejected"


def test_a_model_is_compared_with_that_of_90_days_ago_too(
    features: CustomerFeatures, registry: Registry
) -> None:
    """Many small steps, each within the limit, would else lead anywhere."""
    old = train(features, registry).version
    in_use = train(features, registry, k=3, override=CHECKS).version
    assert "disagreement_90_days" not in {one.name for one in train(features, registry).gate.checks}
    manifest = Path(registry.location(old.version)) / "version.json"
    made = (datetime.now(UTC) - timedelta(days=91)).isoformat()
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "created_at": made}))

    same_as_old = train(features, registry).gate
    assert {one.name: one.value for one in same_as_old.checks}["disagreement_90_days"] == 0
    assert "disagreement" in same_as_old.failed
    same_as_in_use = train(features, registry, k=3).gate
    assert "disagreement_90_days" in same_as_in_use.failed
    assert "disagreement" not in same_as_in_use.failed
    assert current(registry) == in_use.version


def test_versions_that_have_expired_stop_no_training(features: CustomerFeatures, registry: Registry) -> None:
    oldest, *_ = (train(features, registry, override=CHECKS).version.version for _ in range(3))
    assert registry.prune(datetime.now(UTC)) == [oldest]

    assert train(features, registry).promoted


def test_customers_that_cannot_be_segmented_write_nothing(registry: Registry) -> None:
    few = check_features(made_up_customers(20), "few")

    with pytest.raises(SegmentationError, match="too few"):
        train(few, registry)

    assert registry.versions() == []
