"""What a training writes of itself: the files of its version."""

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from ml import plots
from ml.evaluation import Evaluation
from ml.features import CustomerFeatures
from ml.gate import GateResult
from ml.model_card import write_card
from ml.outlook import Outlook, card_section, record
from ml.purchases import OutlookRefusedError
from ml.registry import (
    CARD_FILE,
    FEATURES_FILE,
    METRICS_FILE,
    MODEL_FILE,
    PARAMETERS_FILE,
    SEGMENTS_FILE,
    Decision,
)
from ml.segmentation import SegmentModel, segments_table


def version_files(
    version: str,
    *,
    features: CustomerFeatures,
    model: SegmentModel,
    evaluated: Evaluation,
    gate: GateResult,
    decision: Decision,
    parameters: dict[str, Any],
    outlook: Outlook | OutlookRefusedError | None = None,
) -> dict[str, bytes]:
    """Return each file of a version by its name; `model` was fitted to `features`."""
    card = write_card(version, features, evaluated, gate, {**parameters, "decision": decision})
    texts = {
        MODEL_FILE: model.to_json(),
        FEATURES_FILE: _csv(features.snapshot()),
        SEGMENTS_FILE: _csv(segments_table(model, model.labels_)),
        PARAMETERS_FILE: _json(parameters),
        METRICS_FILE: _json({**_metrics(features, evaluated, gate, decision), "outlook": record(outlook)}),
        CARD_FILE: f"{card}\n## Who will buy again\n\n{card_section(outlook)}\n",
    }
    return {name: text.encode() for name, text in texts.items()} | _plots(model, evaluated)


def _metrics(
    features: CustomerFeatures, evaluated: Evaluation, gate: GateResult, decision: Decision
) -> dict[str, Any]:
    migrations = evaluated.migrations
    return {
        "customers": len(features.frame),
        "customers_without_orders": features.without_orders,
        "decision": decision,
        "checks": [{**asdict(check), "passed": check.passed} for check in gate.checks],
        "findings": gate.findings,
        "bootstrap": asdict(evaluated.stability),
        "silhouette": evaluated.silhouette,
        "permuted_silhouette": evaluated.permuted_silhouette,
        "segments": _records(evaluated.summary.reset_index()),
        "selection": _records(evaluated.selection),
        "migrations": {**vars(migrations), "moves": _records(migrations.moves)} if migrations else None,
    }


def _plots(model: SegmentModel, evaluated: Evaluation) -> dict[str, bytes]:
    """Return each plot and its data: curves over k, segment profiles, a projection, migrations."""
    names = model.segments_
    tables = {
        "selection": evaluated.selection,
        "segments": evaluated.summary.reset_index(),
        "projection": evaluated.projection.reset_index(),
    }
    pictures = {
        "selection": plots.selection(evaluated.selection, chosen_k=len(names)),
        "segments": plots.segments(evaluated.summary),
        "projection": plots.projection(evaluated.projection, names),
    }
    if evaluated.migrations:
        tables["migrations"] = evaluated.migrations.moves
        pictures["migrations"] = plots.migrations(evaluated.migrations.moves, names)
    return {f"plots/{name}.csv": _csv(table).encode() for name, table in tables.items()} | {
        f"plots/{name}.png": picture for name, picture in pictures.items()
    }


def _csv(table: pd.DataFrame) -> str:
    return table.to_csv(index=False, lineterminator="\n")


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _json(value: object) -> str:
    """Write JSON; money (Decimal) becomes text, so that it stays exact."""

    def plain(one: object) -> object:
        return one.item() if isinstance(one, np.generic) else str(one)

    return json.dumps(value, indent=2, default=plain) + "\n"
