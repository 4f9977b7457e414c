"""Periods: counted by the days of the data, and never beyond them."""

from datetime import date
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.insights.period import PRESETS, PeriodError, period_of

FIRST, LAST = date(2019, 1, 1), date(2019, 12, 31)


def test_a_preset_counts_back_from_the_newest_day_of_the_data() -> None:
    period = period_of({"period": "30d", "compare": "1"}, FIRST, LAST)
    assert (period.first, period.last, period.days) == (date(2019, 12, 2), LAST, 30)
    assert period.previous == (date(2019, 11, 2), date(2019, 12, 1))


def test_without_a_query_it_is_90_days_and_compares() -> None:
    period = period_of({}, FIRST, LAST)
    assert (period.preset, period.days, period.compares) == ("90d", 90, True)


def test_a_form_whose_box_is_not_ticked_does_not_compare() -> None:
    assert period_of({"period": "30d"}, FIRST, LAST).previous is None


@pytest.mark.parametrize("preset", ["365d", "all"])
def test_there_is_nothing_to_compare_with_before_the_data(preset: str) -> None:
    period = period_of({"period": preset, "compare": "1"}, FIRST, LAST)
    assert (period.first, period.last, period.previous) == (FIRST, LAST, None)


def test_a_preset_longer_than_the_data_is_the_data() -> None:
    assert period_of({"period": "90d"}, date(2019, 12, 30), LAST).days == 2


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"period": "custom", "first": "2019-02-01", "last": "2019-01-01"}, "is after the last day"),
        ({"period": "custom", "first": "2018-12-31", "last": "2019-01-05"}, "The data holds 2019-01-01 to"),
        ({"period": "custom", "first": "2019-01-01", "last": "2020-01-01"}, "is not all in it"),
        (
            {"period": "custom", "first": "31.12.2019", "last": "2019-12-31"},
            "first day, '31.12.2019', is no date",
        ),
        ({"period": "custom", "first": "2019-01-01"}, "The last day, '', is no date"),
        ({"period": "<script>alert(1)</script>"}, "There is no period"),
    ],
)
def test_what_is_no_period_is_refused_in_a_sentence(asked: dict[str, str], said: str) -> None:
    with pytest.raises(PeriodError, match=said):
        period_of(asked, FIRST, LAST)


@given(st.sampled_from([*PRESETS, "custom"]), st.dates(FIRST, LAST), st.dates(FIRST, LAST), st.booleans())
def test_a_link_keeps_the_period_and_the_period_before_is_as_long(
    preset: str, one: date, other: date, compares: bool
) -> None:
    first, last = sorted([one, other])
    asked = {"period": preset, "first": str(first), "last": str(last), "compare": "1" if compares else "0"}
    period = period_of(asked, FIRST, LAST)
    assert period_of(dict(parse_qsl(period.query())), FIRST, LAST) == period
    assert FIRST <= period.first <= period.last <= LAST
    if period.previous:
        start, end = period.previous
        assert start >= FIRST
        assert (end - start, (period.first - end).days) == (period.last - period.first, 1)
