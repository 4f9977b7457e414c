"""Who will buy again: the model finds what is known, looks at no later day, and refuses too little."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from ml.purchases import MbgNbd, OutlookRefusedError, PurchaseModel, Purchases, fit_truncated_nbd, purchases
from tests.ml.shoppers import START, dropping_out, made_up_days


@pytest.fixture(scope="module")
def shop() -> Purchases:
    return purchases(made_up_days())


def of_days(*days_by_customer: list[int]) -> Purchases:
    rows = [
        (customer, START + pd.Timedelta(days=day))
        for customer, days in enumerate(days_by_customer)
        for day in days
    ]
    return purchases(pd.DataFrame(rows, columns=["customer_id", "day"]))


def test_days_in_a_row_are_one_visit() -> None:
    known = of_days([0, 1, 2, 4], [9])

    assert known.frame["customer_id"].tolist() == [0, 0, 1]
    assert known.frame["day"].dt.day.tolist() == [1, 5, 10]
    assert (known.start, known.as_of, known.history_days) == (dt.date(2024, 1, 1), dt.date(2024, 1, 10), 10)


def test_known_rates_are_recovered_though_nobody_sees_the_customers_without_a_visit() -> None:
    random = np.random.default_rng(0)
    visits = random.poisson(random.gamma(0.6, 1 / 150.0, 200_000) * 360)
    counts, customers = np.unique(visits[visits > 0], return_counts=True)

    r, alpha = fit_truncated_nbd(counts, customers, 360)

    assert r == pytest.approx(0.6, rel=0.05)
    assert alpha == pytest.approx(150, rel=0.05)


def test_what_is_promised_comes_in_a_shop_that_does_not_change(shop: Purchases) -> None:
    then = shop.until(shop.as_of - dt.timedelta(days=90))

    promised = PurchaseModel.fit(then).predict(then)

    came = shop.counts_after(then.as_of, 90, promised.index)
    assert promised["expected_purchases"].sum() == pytest.approx(came.sum(), rel=0.1)
    assert promised["probability"].sum() == pytest.approx((came > 0).sum(), rel=0.1)
    likely = promised["probability"] > promised["probability"].median()
    assert (came[likely] > 0).mean() > 1.3 * (came[~likely] > 0).mean()


def test_a_shop_that_does_not_change_forgets_slowly(shop: Purchases) -> None:
    assert PurchaseModel.fit(shop).half_life >= 365


@pytest.mark.slow
def test_a_shop_whose_customers_leave_forgets_fast() -> None:
    """Whoever comes, comes five times within two months and never again."""
    random = np.random.default_rng(0)
    arrival = random.integers(0, 360, 3000)
    day = START + pd.to_timedelta(np.repeat(arrival, 5) + random.integers(0, 60, 15_000), unit="D")
    days = pd.DataFrame({"customer_id": np.repeat(np.arange(3000), 5), "day": day})

    assert PurchaseModel.fit(purchases(days, dt.date(2024, 12, 25))).half_life == 90


def test_the_later_the_last_visit_and_the_more_visits_the_likelier_the_next() -> None:
    known = of_days([10], [100], [300], [10, 100], [10, 300], [10, 100, 300], [359])
    probability = PurchaseModel(0.5, 100.0, 365.0).predict(known)["probability"]

    assert list(probability.sort_values().index) == [0, 1, 2, 6, 3, 4, 5]
    assert probability.between(0, 1, inclusive="neither").all()


def test_a_longer_horizon_promises_more(shop: Purchases) -> None:
    model = PurchaseModel(0.5, 100.0, 365.0)
    month, year = (model.predict(shop, days) for days in (30, 365))

    assert (month < year).all().all()
    assert (month["probability"] <= month["expected_purchases"]).all()


@pytest.mark.slow
def test_no_later_day_is_looked_at(shop: Purchases) -> None:
    as_of = shop.as_of - dt.timedelta(days=90)
    days = made_up_days()
    cut = days[days["day"] <= pd.Timestamp(as_of)]

    known, cut_off = purchases(days, as_of), purchases(cut, as_of)

    model = PurchaseModel.fit(known)
    assert model == PurchaseModel.fit(cut_off)
    pd.testing.assert_frame_equal(model.predict(known), model.predict(cut_off))


def test_the_order_of_the_rows_does_not_count(shop: Purchases) -> None:
    shuffled = purchases(made_up_days().sample(frac=1, random_state=3))

    pd.testing.assert_frame_equal(shuffled.frame, shop.frame)


@pytest.mark.parametrize(
    ("days", "sentence"),
    [
        (
            made_up_days(days=179),
            "No outlook: up to 2024-06-27 there are 179 days of orders, and it needs 180.",
        ),
        (
            made_up_days(customers=300),
            "No outlook: up to 2024-12-24 there are 147 customers with an order, and it needs 500.",
        ),
        (made_up_days().head(0), "No outlook: there is no order."),
    ],
)
def test_too_little_is_refused_with_one_sentence(days: pd.DataFrame, sentence: str) -> None:
    with pytest.raises(OutlookRefusedError) as refused:
        PurchaseModel.fit(purchases(days))

    assert str(refused.value) == sentence


def test_mbg_nbd_has_the_reference_librarys_parameters_and_predictions() -> None:
    """Known values: lifetimes 0.11.3, ModifiedBetaGeoFitter(penalizer_coef=0) on the same 400 customers."""
    model = MbgNbd.fit(*dropping_out())

    found_parameters = [model.r, model.alpha, model.a, model.b]
    assert found_parameters == pytest.approx([0.8694788, 48.0219343, 1.3275464, 5.7215037], rel=1e-3)
    repeats, recency = np.array([0.0, 3.0, 3.0]), np.array([0.0, 80.0, 20.0])
    found = MbgNbd(0.8694788423880505, 48.02193430254033, 1.3275464070208314, 5.721503662460996).predict(
        repeats, recency, np.full(3, 100.0), 90
    )
    assert found["alive"].to_numpy() == pytest.approx([0.61824945, 0.7893098, 0.2448672], rel=1e-6)
    assert found["expected_purchases"].to_numpy() == pytest.approx(
        [0.30006062, 1.58694525, 0.49231725], rel=1e-6
    )
