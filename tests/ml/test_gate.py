"""The gate lets a version through at its limits and names each figure that misses one."""

from dataclasses import replace

import pytest
from pydantic import ValidationError

from ml.gate import GateFigures, GateSettings, judge

AT_THE_LIMITS = GateFigures(
    silhouette=0.2,
    smallest_segment_share=0.05,
    mean_stability=0.8,
    worst_stability=0.5,
    seed_agreement=0.95,
    migration_share=0.35,
    untrue_names=(),
)
LIMITS = GateSettings(
    min_silhouette=0.2,
    min_segment_share=0.05,
    min_mean_stability=0.8,
    min_worst_stability=0.5,
    min_seed_agreement=0.95,
    max_migration_share=0.35,
)


def test_figures_at_their_limits_pass() -> None:
    result = judge(AT_THE_LIMITS, LIMITS)

    assert result.passed
    assert len(result.checks) == 6


def test_a_first_version_has_no_migrations_to_judge() -> None:
    result = judge(replace(AT_THE_LIMITS, migration_share=None), LIMITS)

    assert result.passed
    assert "migration share" not in [check.name for check in result.checks]


@pytest.mark.parametrize(
    ("field", "value", "finding"),
    [
        ("silhouette", 0.1, "silhouette is 0.100, must be at least 0.2."),
        ("smallest_segment_share", 0.049, "smallest segment's share is 0.049, must be at least 0.05."),
        ("mean_stability", float("nan"), "mean stability is nan, must be at least 0.8."),
        ("worst_stability", 0.4, "worst stability is 0.400, must be at least 0.5."),
        ("seed_agreement", 0.9, "agreement of seeds is 0.900, must be at least 0.95."),
        ("migration_share", 0.5, "migration share is 0.500, must be at most 0.35."),
        ("untrue_names", ("Champions do not lead.",), "Champions do not lead."),
    ],
)
def test_each_figure_beyond_its_limit_is_a_finding(field: str, value: object, finding: str) -> None:
    result = judge(replace(AT_THE_LIMITS, **{field: value}), LIMITS)  # type: ignore[arg-type]

    assert result.findings == (finding,)
    assert not result.passed


def test_limits_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_MIN_SILHOUETTE", "0.9")

    assert GateSettings().min_silhouette == 0.9


def test_a_limit_that_makes_no_sense_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_MIN_SEGMENT_SHARE", "5")

    with pytest.raises(ValidationError, match="min_segment_share"):
        GateSettings()
