"""The gate lets a version through at its limits and names each check that fails."""

from dataclasses import replace

import pytest

from include.settings import SettingsError
from ml.gate import CHECKS, GateFigures, GateSettings, UnknownCheckError, expect_checks, judge

AT_THE_LIMITS = GateFigures(
    silhouette_gain=0.1,
    smallest_segment_share=0.05,
    mean_stability=0.8,
    low_stability=0.5,
    segment_stability=0.6,
    seed_agreement=0.95,
    disagreement=0.04,
    disagreement_90_days=0.04,
    untrue_names={},
)
LIMITS = GateSettings(
    min_silhouette_gain=0.1,
    min_segment_share=0.05,
    min_mean_stability=0.8,
    min_low_stability=0.5,
    min_segment_stability=0.6,
    min_seed_agreement=0.95,
    max_disagreement=0.04,
)


def test_figures_at_their_limits_pass() -> None:
    result = judge(AT_THE_LIMITS, LIMITS)

    assert result.passed
    assert len(result.checks) == 8


def test_a_first_version_has_none_to_disagree_with() -> None:
    result = judge(replace(AT_THE_LIMITS, disagreement=None, disagreement_90_days=None), LIMITS)

    assert result.passed
    assert len(result.checks) == 6


@pytest.mark.parametrize(
    ("field", "value", "finding"),
    [
        ("silhouette_gain", 0.05, "silhouette above permuted columns is 0.050, must be at least 0.1."),
        ("smallest_segment_share", 0.049, "smallest segment's share is 0.049, must be at least 0.05."),
        ("mean_stability", float("nan"), "mean stability is nan, must be at least 0.8."),
        ("low_stability", 0.4, "5th percentile of stability is 0.400, must be at least 0.5."),
        ("segment_stability", 0.5, "least stable segment's Jaccard index is 0.500, must be at least 0.6."),
        ("seed_agreement", 0.9, "agreement of seeds is 0.900, must be at least 0.95."),
        (
            "disagreement",
            0.05,
            "share of customers whom the version in use puts elsewhere by the same features is 0.050,"
            " must be at most 0.04.",
        ),
        (
            "disagreement_90_days",
            0.05,
            "share of customers whom the version of 90 days ago puts elsewhere by the same features is 0.050,"
            " must be at most 0.04.",
        ),
    ],
)
def test_each_figure_beyond_its_limit_fails_by_its_name(field: str, value: float, finding: str) -> None:
    result = judge(replace(AT_THE_LIMITS, **{field: value}), LIMITS)  # type: ignore[arg-type]

    assert result.failed == {field: finding}
    assert result.findings == (f"{field}: {finding}",)
    assert not result.passed


def test_an_untrue_name_fails_and_only_its_own_override_lets_it_pass() -> None:
    result = judge(replace(AT_THE_LIMITS, untrue_names={"Loyal Customers": "They are new."}), LIMITS)

    assert result.failed == {"name_of_4": "They are new."}
    assert result.not_overridden([name for name in CHECKS if name != "name_of_4"]) == ["name_of_4"]
    assert result.not_overridden(["name_of_4"]) == []


def test_an_override_of_no_check_is_refused_with_those_there_are() -> None:
    with pytest.raises(
        UnknownCheckError, match=r"no check 'all'; the checks are silhouette_gain, .*name_of_4"
    ):
        expect_checks(["mean_stability", "all"])


def test_limits_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_MIN_SILHOUETTE_GAIN", "0.9")

    assert GateSettings().min_silhouette_gain == 0.9


def test_a_limit_that_makes_no_sense_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_MIN_SEGMENT_SHARE", "5")

    with pytest.raises(SettingsError, match="ML_MIN_SEGMENT_SHARE"):
        GateSettings()
