"""The gate between a trained version and its use: the limits of its figures, and which of them it misses."""

from dataclasses import dataclass

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class GateSettings(BaseSettings):
    """Limits of the gate; each environment variable is ML_ and the field's name in upper case."""

    model_config = SettingsConfigDict(env_prefix="ML_", extra="ignore", frozen=True, env_ignore_empty=True)

    min_silhouette: float = Field(
        0.2, ge=-1, le=1, description="Minimum of the mean silhouette of all customers."
    )
    min_segment_share: float = Field(
        0.05, ge=0, le=1, description="Minimum share of customers in each segment."
    )
    min_mean_stability: float = Field(
        0.85, ge=-1, le=1, description="Minimum of the mean adjusted Rand index of the bootstrap refits."
    )
    min_worst_stability: float = Field(
        0.5, ge=-1, le=1, description="Minimum adjusted Rand index of each bootstrap refit."
    )
    min_seed_agreement: float = Field(
        0.98, ge=0, le=1, description="Minimum share of customers whose segment is the same with every seed."
    )
    max_migration_share: float = Field(
        0.25,
        ge=0,
        le=1,
        description="Maximum share of customers whose segment differs from the version in use.",
    )


@dataclass(frozen=True)
class GateFigures:
    """What the gate judges: shares from 0 to 1, silhouette and stabilities from -1 to 1.

    `migration_share` is None for the first version; `untrue_names` are sentences, one per finding.
    """

    silhouette: float
    smallest_segment_share: float
    mean_stability: float
    worst_stability: float
    seed_agreement: float
    migration_share: float | None
    untrue_names: tuple[str, ...]


@dataclass(frozen=True)
class Check:
    """One figure and its limit, a minimum if `at_least`, else a maximum."""

    name: str
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
        return f"{self.name} is {self.value:.3f}, must be {bound} {self.limit:g}."


@dataclass(frozen=True)
class GateResult:
    """Every check, and a sentence for each one that failed."""

    checks: tuple[Check, ...]
    findings: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Return whether there are no findings."""
        return not self.findings


def judge(figures: GateFigures, limits: GateSettings) -> GateResult:
    """Compare the figures with the limits; each miss and each untrue name is a finding."""
    checks = [
        Check("silhouette", figures.silhouette, limits.min_silhouette, at_least=True),
        Check(
            "smallest segment's share",
            figures.smallest_segment_share,
            limits.min_segment_share,
            at_least=True,
        ),
        Check("mean stability", figures.mean_stability, limits.min_mean_stability, at_least=True),
        Check("worst stability", figures.worst_stability, limits.min_worst_stability, at_least=True),
        Check("agreement of seeds", figures.seed_agreement, limits.min_seed_agreement, at_least=True),
    ]
    if figures.migration_share is not None:
        checks.append(
            Check("migration share", figures.migration_share, limits.max_migration_share, at_least=False)
        )
    failed = [check.sentence() for check in checks if not check.passed]
    return GateResult(tuple(checks), (*failed, *figures.untrue_names))
