"""One training of the customer segments: features in, a version of the model out, promoted if it may be."""

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd
import sklearn

from ml.evaluation import Evaluation, evaluate, measured
from ml.features import FEATURES, CustomerFeatures
from ml.gate import GateResult, GateSettings, judge
from ml.outlook import Outlook
from ml.purchases import OutlookRefusedError
from ml.registry import Decision, Registry, Version
from ml.report import version_files
from ml.segmentation import DEFAULT_K, MODEL_FEATURES, SegmentModel


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
        """Return whether the version may be used: it passed the gate or was forced through."""
        return self.version.decision != "rejected"


def train(
    features: CustomerFeatures,
    registry: Registry,
    *,
    k: int = DEFAULT_K,
    seed: int = 0,
    dry_run: bool = False,
    force: bool = False,
    promote: bool = True,
    limits: GateSettings | None = None,
    outlook: Outlook | OutlookRefusedError | None = None,
) -> Training:
    """Fit, evaluate and judge a model, store it as a version, and promote it unless rejected or a dry run.

    `outlook`, or why there is none, goes into the model card.
    With `promote` False that last step is left to the caller; nothing that is in use changes before it.
    Raises SegmentationError before anything is written, RegistryError if another training was promoted
    meanwhile.
    """
    limits = limits or GateSettings()
    current = registry.current()
    replacing = current.version if current else None
    before = registry.segment_ids(replacing) if replacing else None
    seconds: dict[str, float] = {}

    with measured(seconds, "fit and assign"):
        model = SegmentModel(k, random_state=seed).fit(features.frame)
    evaluated = evaluate(model, features.frame, before, seconds)
    gate = judge(evaluated.figures(), limits)
    decision: Decision = "accepted" if gate.passed else "forced" if force else "rejected"
    parameters = {
        **_parameters(model, features, evaluated),
        "limits": limits.model_dump(),
        "force": force,
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
            dry_run=dry_run,
        )
    promoted = promote and decision != "rejected" and not dry_run
    if promoted:
        registry.promote(version, replacing=replacing)
    return Training(manifest, registry.location(version), model, evaluated.summary, gate, promoted, seconds)


def _parameters(model: SegmentModel, features: CustomerFeatures, evaluated: Evaluation) -> dict[str, Any]:
    """Return what identifies the training: with the same data it gives the same model."""
    return {
        "k": model.n_clusters,
        "seed": model.random_state,
        "n_init": model.n_init,
        "features": [asdict(one) for one in MODEL_FEATURES],
        "feature_meanings": {one.name: one.meaning for one in FEATURES},
        "data_fingerprint": features.fingerprint(),
        "evaluation_customers": len(evaluated.projection),
        "python": platform.python_version(),
        "scikit_learn": sklearn.__version__,
    }
