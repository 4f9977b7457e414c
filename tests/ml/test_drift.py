"""The population stability index, and when a run refits the model."""

import datetime as dt
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml import evaluation, retraining
from ml.drift import drift
from ml.features import CustomerFeatures, check_features
from ml.gate import CHECKS
from ml.registry import Registry, open_registry
from ml.segmentation import SegmentModel
from ml.training import train
from tests.ml.customers import made_up_customers


@pytest.fixture(scope="module")
def features() -> CustomerFeatures:
    return check_features(made_up_customers(600), "made up")


@pytest.fixture(scope="module")
def model(features: CustomerFeatures) -> SegmentModel:
    return SegmentModel(5).fit(features.frame)


@pytest.fixture(scope="module")
def trained(features: CustomerFeatures, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with a version in use."""
    folder = tmp_path_factory.mktemp("registry")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("BOOTSTRAP_REFITS", "SEEDS", "SELECTION_REFITS"):
            patch.setattr(evaluation, name, 2)
        patch.setattr(evaluation, "MAX_K", 3)
        train(features, open_registry(str(folder)), override=CHECKS)
    return folder


@pytest.fixture
def registry(
    trained: Path, features: CustomerFeatures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Registry:
    """The same for one test; the warehouse has the customers that its version was fitted on."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("ML_REGISTRY", str(tmp_path))
    in_the_warehouse(features, monkeypatch)
    return open_registry()


def in_the_warehouse(features: CustomerFeatures, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retraining, "get_warehouse", lambda role: role)
    monkeypatch.setattr(retraining, "load_features", lambda warehouse: features)


def silent_for(features: CustomerFeatures, days: int) -> CustomerFeatures:
    """The same customers, of whom nobody has bought for so many days more."""
    frame = features.snapshot().assign(recency_days=lambda one: one["recency_days"] + days)
    return check_features(frame, "later")


def test_the_same_customers_have_not_drifted(features: CustomerFeatures, model: SegmentModel) -> None:
    assert set(drift(features.frame, features.frame, model.features_).values()) == {0.0}


def test_a_longer_silence_drifts_alone(features: CustomerFeatures, model: SegmentModel) -> None:
    found = drift(features.frame, silent_for(features, 60).frame, model.features_)

    assert found.pop("silence_days") > 0.25
    assert max(found.values()) == 0.0


def test_the_index_is_the_textbook_sum(model: SegmentModel) -> None:
    """Ten equal bins before; now the first has double and the last none: 0.1 ln 2 + 0.1 ln(0.1 / 0.0001)."""
    one = model.features_[0].name
    names = [feature.name for feature in model.features_]
    before = pd.DataFrame({name: np.arange(1000.0) for name in names})
    now = before.assign(**{one: np.concatenate([np.arange(900.0), np.arange(100.0)])})

    expected = 0.1 * np.log(2) + (0.1 - 0.0001) * np.log(0.1 / 0.0001)
    assert drift(before, now, model.features_)[one] == pytest.approx(expected, rel=1e-9)


@pytest.mark.slow
def test_a_fresh_model_is_refitted_by_hand_only(registry: Registry) -> None:
    assert retraining.due(by_hand=True)
    assert not retraining.due(by_hand=False)


def test_a_model_is_refitted_after_its_days(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    current = registry.current()
    assert current is not None
    path = Path(registry.location(current.version)) / "version.json"
    made = dt.datetime.fromisoformat(registry.get(current.version).created_at)
    for days, is_due in ((29, False), (31, True)):
        created_at = (made - dt.timedelta(days=days)).isoformat()
        path.write_text(json.dumps({**json.loads(path.read_text()), "created_at": created_at}))
        assert retraining.due(by_hand=False) is is_due
    monkeypatch.setenv("ML_REFIT_DAYS", "60")
    assert not retraining.due(by_hand=False)


def test_a_model_is_refitted_on_drift(
    registry: Registry, features: CustomerFeatures, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_the_warehouse(silent_for(features, 60), monkeypatch)

    assert retraining.due(by_hand=False)
    monkeypatch.setenv("ML_MAX_DRIFT", "100")
    assert not retraining.due(by_hand=False)


def test_without_a_model_one_is_fitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_REGISTRY", str(tmp_path))
    assert retraining.due(by_hand=False)


def test_where_drift_cannot_be_told_a_version_is_fitted(registry: Registry) -> None:
    current = registry.current()
    assert current is not None
    (Path(registry.location(current.version)) / "features.csv").unlink()

    assert retraining.due(by_hand=False)
