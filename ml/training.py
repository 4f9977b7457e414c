"""One training of the customer segments: features in, a version of the model out, promoted if it may be."""

import platform
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import sklearn

from ml.evaluation import Before, Evaluation, evaluate, measured
from ml.features import FEATURES, FEATURES_VERSION, CustomerFeatures
from ml.gate import GateResult, GateSettings, expect_checks, judge
from ml.outlook import Outlook
from ml.purchases import OutlookRefusedError
from ml.registry import Decision, Registry, Version
from ml.report import version_files
from ml.segmentation import DEFAULT_K, MODEL_FEATURES, SegmentModel

LONG_AGO = timedelta(days=90)


@dataclass(frozen=True)
class Training:
    """What one training made.

    `promoted` says whether its version is the current one now; `summary` is that of summarize_segments;
    `seconds` has the wall-clock time of each step.
    """

    version: Version
    location: str
    model: SegmentModel
    summary: pd.DataFrame
    gate: GateResult
    promoted: bool
    seconds: Mapping[str, float]

    @property
    def passed(self) -> bool:
        """Return whether the version may be used: it passed the gate or what failed was overridden."""
        return self.version.decision != "rejected"


def train(
    features: CustomerFeatures,
    registry: Registry,
    *,
    k: int = DEFAULT_K,
    seed: int = 0,
    dry_run: bool = False,
    override: Collection[str] = (),
    promote: bool = True,
    limits: GateSettings | None = None,
    outlook: Outlook | OutlookRefusedError | None = None,
) -> Training:
    """Fit, evaluate and judge a model, store it as a version, and promote it unless rejected or a dry run.

    `override` names the checks that may fail, each of CHECKS; that they did is recorded. `outlook`, or why
    there is none, goes into the model card. With `promote` False the last step is left to the caller; nothing
    that is in use changes before it.
    Raises UnknownCheckError and SegmentationError before anything is written, RegistryError if another
    training was promoted meanwhile.
    """
    expect_checks(override)
    limits = limits or GateSettings()
    current = registry.current()
    replacing = current.version if current else None
    before = _before(registry, datetime.now(UTC))
    seconds: dict[str, float] = {}

    with measured(seconds, "fit and assign"):
        model = SegmentModel(k, random_state=seed).fit(features.frame)
    evaluated = evaluate(model, features.frame, before, seconds)
    gate = judge(evaluated.figures(), limits)
    rejected = gate.not_overridden(override)
    decision: Decision = "accepted" if gate.passed else "rejected" if rejected else "forced"
    parameters = {
        **_parameters(model, features, evaluated),
        "limits": limits.model_dump(),
        "override": sorted(override),
        "dry_run": dry_run,
        "compared_with": replacing,
    }
    with measured(seconds, "write"):
        version = registry.new_version(features.fingerprint())
        manifest = registry.write(
            version,
            version_files(
                version,
                features=features,
                model=model,
                evaluated=evaluated,
                gate=gate,
                decision=decision,
                parameters=parameters,
                outlook=outlook,
            ),
            fingerprint=features.fingerprint(),
            decision=decision,
            findings=gate.findings,
            failed=tuple(gate.failed),
            dry_run=dry_run,
        )
    promoted = promote and decision != "rejected" and not dry_run
    if promoted:
        registry.promote(version, replacing=replacing)
    return Training(manifest, registry.location(version), model, evaluated.summary, gate, promoted, seconds)


def _before(registry: Registry, now: datetime) -> Before | None:
    """Return the version in use, and the newest of those once in use that was made 90 days ago or earlier."""
    current = registry.current()
    if current is None:
        return None
    # Without those that have expired, or whose manifest is damaged.
    made = {one.version: datetime.fromisoformat(one.created_at) for one in registry.versions()}
    long_ago = next((one for one in current.earlier if made.get(one, now) <= now - LONG_AGO), None)
    return Before(
        registry.model(current.version),
        registry.segment_ids(current.version),
        registry.model(long_ago) if long_ago else None,
    )


def _parameters(model: SegmentModel, features: CustomerFeatures, evaluated: Evaluation) -> dict[str, Any]:
    """Return what identifies the training: with the same data it gives the same model."""
    return {
        "k": model.n_clusters,
        "seed": model.random_state,
        "n_init": model.n_init,
        "features_version": FEATURES_VERSION,
        "features": [asdict(one) for one in MODEL_FEATURES],
        **features.data_range(),
        "feature_meanings": {one.name: one.meaning for one in FEATURES},
        "data_fingerprint": features.fingerprint(),
        "evaluation_customers": len(evaluated.projection),
        "python": platform.python_version(),
        "scikit_learn": sklearn.__version__,
    }
