"""The segments of real shops' customers are large, stable and what their names say, whatever shop it is."""

from pathlib import Path

import pandas as pd
import pytest

from ml.evaluation import bootstrap_stability, seed_agreement, untrue_names
from ml.features import CustomerFeatures, check_features
from ml.segmentation import SegmentModel
from standalone.sample_data.generator import generate
from tests.ml.customers import real_customers

AS_OF = ("2019-06-30", "2019-09-30", "2019-12-31")


@pytest.fixture(scope="module", params=AS_OF)
def real(request: pytest.FixtureRequest, real_data: Path) -> CustomerFeatures:
    return real_customers(real_data, request.param)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> CustomerFeatures:
    folder = tmp_path_factory.mktemp("made")
    generate(folder)
    return real_customers(folder)


def untrue(frame: pd.DataFrame) -> dict[str, str]:
    model = SegmentModel().fit(frame)
    return untrue_names(model, frame, model.labels_)


def changed(features: CustomerFeatures, **columns: "pd.Series[float]") -> pd.DataFrame:
    table = features.snapshot().assign(**columns)
    return check_features(table, "changed").frame


def years_of(features: CustomerFeatures, years: int) -> pd.DataFrame:
    """A shop of so many years: each year's customers are those of the first, a year later."""
    table = features.snapshot()
    parts = [
        table.assign(
            customer_id=table["customer_id"] + 100_000 * year, recency_days=table["recency_days"] + 365 * year
        )
        for year in range(years)
    ]
    return check_features(pd.concat(parts), "years").frame


def test_resampled_customers_and_other_seeds_give_the_same_segments(real: CustomerFeatures) -> None:
    model = SegmentModel().fit(real.frame)
    stability = bootstrap_stability(real.frame, model.labels_, 5, seed=0)

    assert untrue_names(model, real.frame, model.labels_) == {}
    assert stability.mean >= 0.94
    assert stability.low >= 0.87
    assert min(stability.jaccard.values()) >= 0.90
    assert model.labels_.value_counts(normalize=True).min() >= 0.09
    assert seed_agreement(real.frame, 5, range(20)) >= 0.998


@pytest.mark.parametrize("factor", [10, 100])
def test_the_currency_moves_nobody(real: CustomerFeatures, factor: int) -> None:
    model = SegmentModel().fit(real.frame)
    other = changed(real, monetary=real.snapshot()["monetary"] * factor)
    again = SegmentModel().fit(other)

    pd.testing.assert_series_equal(again.labels_, model.labels_)
    assert untrue_names(again, other, again.labels_) == {}


@pytest.mark.parametrize("seed", range(3))
def test_the_names_are_true_of_300_customers(real_data: Path, seed: int) -> None:
    assert untrue(real_customers(real_data).frame.sample(300, random_state=seed)) == {}


def test_the_names_are_true_of_the_generated_shop(made: CustomerFeatures) -> None:
    assert untrue(made.frame) == {}
    assert untrue(changed(made, monetary=made.snapshot()["monetary"] * 100)) == {}


def test_an_as_of_date_ten_years_late_is_found_out(made: CustomerFeatures) -> None:
    late = changed(made, recency_days=made.snapshot()["recency_days"] + 3652)

    assert "Champions (VIPs)" in untrue(late)


def test_the_names_are_true_of_a_shop_of_three_years(made: CustomerFeatures) -> None:
    assert untrue(years_of(made, 3)) == {}


def test_the_generated_shop_buys_on_as_many_days_as_the_real_one(
    made: CustomerFeatures, real_data: Path
) -> None:
    def facts(frame: pd.DataFrame) -> tuple[float, float, float]:
        repeat = frame[frame["purchase_days"] > 1]
        gaps = repeat["buying_span_days"] / (repeat["purchase_days"] - 1)
        return float((frame["purchase_days"] == 1).mean()), frame["purchase_days"].mean(), gaps.mean()

    one_time, days, gap = facts(made.frame)
    real_one_time, real_days, real_gap = facts(real_customers(real_data).frame)
    assert one_time == pytest.approx(real_one_time, abs=0.08)
    assert days == pytest.approx(real_days, rel=0.1)
    assert gap == pytest.approx(real_gap, rel=0.1)
