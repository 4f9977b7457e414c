"""The outlook keeps its promises on the shop's real customers, at the three newest origins."""

import datetime as dt
from pathlib import Path

import pandas as pd
import pytest

from ml.outlook import Holdout, Outlook, card_section, outlook
from tests.ml.shoppers import real_days


@pytest.fixture(scope="module")
def made(real_data: Path) -> Outlook:
    return outlook(real_days(real_data))


@pytest.fixture(scope="module")
def report(made: Outlook) -> tuple[Holdout, ...]:
    return made.report


def test_the_origins_are_those_whose_90_days_have_passed(report: tuple[Holdout, ...]) -> None:
    assert [(one.origin, one.customers) for one in report] == [
        (dt.date(2019, 10, 2), 1211),
        (dt.date(2019, 9, 1), 1131),
        (dt.date(2019, 8, 1), 999),
    ]


def test_who_comes_again_is_ranked_first(report: tuple[Holdout, ...]) -> None:
    aucs = [one.auc.value for one in report]

    assert sum(aucs) / len(aucs) >= 0.66
    assert sum(aucs) > sum(one.mbg_auc for one in report) > sum(one.recency_auc for one in report)


def test_promises_are_as_high_as_what_comes(report: tuple[Holdout, ...]) -> None:
    for one in report:
        assert one.calibration_error.value <= 0.05, one.origin
        assert 0.8 <= one.purchases.value <= 1.2, one.origin
        assert 0.8 <= one.buyers.value <= 1.2, one.origin


def test_intervals_hold_the_figures(report: tuple[Holdout, ...]) -> None:
    for one in report:
        for figure in (one.auc, one.buyers, one.purchases):
            assert figure.low < figure.value < figure.high


def test_before_autumn_the_promises_are_too_low(real_data: Path) -> None:
    """The limit of what a history can tell: the shop was growing, and the model knows no season."""
    days = real_days(real_data)

    earlier = outlook(days[days["day"] <= pd.Timestamp("2019-09-28")])

    assert earlier.report[0].origin == dt.date(2019, 6, 30)
    assert len(earlier.report) == 1
    assert 0.6 < earlier.report[0].purchases.value < 0.8


def test_the_card_shows_every_origin(made: Outlook) -> None:
    card = card_section(made)

    for one in made.report:
        assert f"| {one.origin} | {one.customers} | {one.auc} |" in card
