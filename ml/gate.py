"""The gate between a trained version and its use: the limits of its figures, and which of them it misses.

Every check has a name, by which a person can override it; no switch overrides all.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from include.settings import EnvironmentSettings
from ml.archetypes import ARCHETYPES


class GateSettings(EnvironmentSettings):
    """Limits of the gate; each environment variable is ML_ and the field's name in upper case."""

    model_config = SettingsConfigDict(env_prefix="ML_")

    min_silhouette_gain: float = Field(
        0.02,
        ge=-2,
        le=2,
        description="Minimum of the mean silhouette above that of the same columns, each permuted.",
    )
    min_segment_share: float = Field(
        0.05, ge=0, le=1, description="Minimum share of customers in each segment."
    )
    min_mean_stability: float = Field(
        0.85, ge=-1, le=1, description="Minimum of the mean adjusted Rand index of the bootstrap refits."
    )
    min_low_stability: float = Field(
        0.7, ge=-1, le=1, description="Minimum of the adjusted Rand indexes' 5th percentile."
    )
    min_segment_stability: float = Field(
        0.75,
        ge=0,
        le=1,
        description="Minimum of each segment's mean Jaccard index over the bootstrap refits.",
    )
    min_seed_agreement: float = Field(
        0.98, ge=0, le=1, description="Minimum share of customers whose segment is the same with every seed."
    )
    max_disagreement: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Maximum share of customers whom the version in use puts elsewhere by the same features.",
    )


@dataclass(frozen=True)
class GateFigures:
    """What the gate judges: shares from 0 to 1, silhouette and stabilities from -1 to 1.

    A disagreement is None where there is no version to compare with. `untrue_names` has, by the name of a
    segment, a sentence that is not true of its customers.
    """

    silhouette_gain: float
    smallest_segment_share: float
    mean_stability: float
    low_stability: float
    segment_stability: float
    seed_agreement: float
    disagreement: float | None
    disagreement_90_days: float | None
    untrue_names: Mapping[str, str]


@dataclass(frozen=True)
class Check:
    """One figure and its limit, a minimum if `at_least`, else a maximum; `name` is what an override names."""

    name: str
    words: str
    value: float
    limit: float
    at_least: bool

    @property
    def passed(self) -> bool:
        """Return whether the figure is within its limit; NaN is not."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def sentence(self) -> str:
        """Return the figure and the limit in words."""
        bound = "at least" if self.at_least else "at most"
        return f"{self.words} is {self.value:.3f}, must be {bound} {self.limit:g}."


@dataclass(frozen=True)
class GateResult:
    """Every check, and a sentence for each one that failed, by its name."""

    checks: tuple[Check, ...]
    failed: Mapping[str, str]

    @property
    def findings(self) -> tuple[str, ...]:
        """Return what failed, each sentence led by the name that overrides it."""
        return tuple(f"{name}: {sentence}" for name, sentence in self.failed.items())

    @property
    def passed(self) -> bool:
        """Return whether nothing failed."""
        return not self.failed

    def not_overridden(self, override: Collection[str]) -> list[str]:
        """Return the names of the failed checks that `override` does not name."""
        return [name for name in self.failed if name not in override]


# The names that an override may use.
CHECKS = (
    "silhouette_gain",
    "smallest_segment_share",
    "mean_stability",
    "low_stability",
    "segment_stability",
    "seed_agreement",
    "disagreement",
    "disagreement_90_days",
    *(f"name_of_{one.segment_id}" for one in ARCHETYPES),
)


class UnknownCheckError(Exception):
    """An override names no check: one sentence that lists those there are."""


def expect_checks(override: Collection[str]) -> None:
    """Raise UnknownCheckError unless each name is one of CHECKS."""
    unknown = [name for name in override if name not in CHECKS]
    if unknown:
        raise UnknownCheckError(
            f"There is no check {', '.join(map(repr, unknown))}; the checks are {', '.join(CHECKS)}."
        )


def judge(figures: GateFigures, limits: GateSettings) -> GateResult:
    """Compare the figures with the limits; each miss and each untrue name fails."""
    checks = [
        Check(
            "silhouette_gain",
            "silhouette above permuted columns",
            figures.silhouette_gain,
            limits.min_silhouette_gain,
            at_least=True,
        ),
        Check(
            "smallest_segment_share",
            "smallest segment's share",
            figures.smallest_segment_share,
            limits.min_segment_share,
            at_least=True,
        ),
        Check(
            "mean_stability",
            "mean stability",
            figures.mean_stability,
            limits.min_mean_stability,
            at_least=True,
        ),
        Check(
            "low_stability",
            "5th percentile of stability",
            figures.low_stability,
            limits.min_low_stability,
            at_least=True,
        ),
        Check(
            "segment_stability",
            "least stable segment's Jaccard index",
            figures.segment_stability,
            limits.min_segment_stability,
            at_least=True,
        ),
        Check(
            "seed_agreement",
            "agreement of seeds",
            figures.seed_agreement,
            limits.min_seed_agreement,
            at_least=True,
        ),
    ]
    compared = {
        "disagreement": ("the version in use", figures.disagreement),
        "disagreement_90_days": ("the version of 90 days ago", figures.disagreement_90_days),
    }
    checks += [
        Check(
            name,
            f"share of customers whom {version} puts elsewhere by the same features",
            share,
            limits.max_disagreement,
            at_least=False,
        )
        for name, (version, share) in compared.items()
        if share is not None
    ]
    failed = {check.name: check.sentence() for check in checks if not check.passed}
    ids = {one.name: one.segment_id for one in ARCHETYPES}
    untrue = {f"name_of_{ids[name]}": sentence for name, sentence in figures.untrue_names.items()}
    return GateResult(tuple(checks), {**failed, **untrue})
