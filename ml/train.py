"""Train the customer segments: features in, a version of the model out, promoted if the gate lets it.

    python -m ml.train --features FILE [--output DIR] [--seed N] [--k N] [--dry-run] [--force]

Ends with 0 if the gate passed (or was overridden), 1 if it did not, 2 if the features or k cannot be used.
"""

import json
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import sklearn
import typer
from rich import box
from rich.console import Console
from rich.table import Table

from ml import evaluation, plots
from ml.features import FEATURES, CustomerFeatures, FeaturesError, read_features
from ml.gate import GateFigures, GateResult, GateSettings, judge
from ml.model_card import write_card
from ml.registry import (
    CARD_FILE,
    METRICS_FILE,
    MODEL_FILE,
    PARAMETERS_FILE,
    SEGMENTS_FILE,
    Decision,
    Registry,
    RegistryError,
    Version,
    open_registry,
)
from ml.segmentation import (
    DEFAULT_K,
    MODEL_FEATURES,
    STARTS,
    SegmentationError,
    SegmentModel,
    fit_segments,
    segments_table,
)


@dataclass(frozen=True)
class Training:
    """What one training made; `promoted` says whether its version is the current one now."""

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
) -> Training:
    """Fit, evaluate and judge a model, store it as a version, and promote it unless rejected or a dry run.

    With `promote` False that last step is left to the caller.

    Nothing that is in use changes before the promotion, the last step. Raises SegmentationError before
    anything is written, RegistryError if another training was promoted meanwhile.
    """
    limits = limits or GateSettings()
    current = registry.current()
    replacing = current.version if current else None
    before = registry.segment_ids(replacing) if replacing else None
    seconds: dict[str, float] = {}

    with _measured(seconds, "fit and assign"):
        model = fit_segments(features.frame, k, seed)
        ids = model.assign(features.frame)
    evaluated = _evaluate(model, features.frame, ids, before, k=k, seed=seed, seconds=seconds)
    gate = judge(evaluated.figures(), limits)
    decision: Decision = "accepted" if gate.passed else "forced" if force else "rejected"
    parameters = {
        "k": k,
        "seed": seed,
        "starts": STARTS,
        "features": [asdict(one) for one in MODEL_FEATURES],
        "feature_meanings": {one.name: one.meaning for one in FEATURES},
        "data_fingerprint": features.fingerprint(),
        "evaluation_customers": len(evaluated.projection),
        "limits": limits.model_dump(),
        "force": force,
        "dry_run": dry_run,
        "compared_with": replacing,
        "python": platform.python_version(),
        "scikit_learn": sklearn.__version__,
    }
    with _measured(seconds, "write"):
        version = registry.new_version(features.fingerprint())
        files = {
            MODEL_FILE: model.to_json(),
            SEGMENTS_FILE: _csv(segments_table(model, ids)),
            PARAMETERS_FILE: _json(parameters),
            METRICS_FILE: _json(_metrics(features, evaluated, gate, decision)),
            CARD_FILE: _card(version, features, evaluated, gate, {**parameters, "decision": decision}),
        }
        manifest = registry.write(
            version,
            {name: content.encode() for name, content in files.items()} | evaluated.plot_files(model),
            fingerprint=features.fingerprint(),
            decision=decision,
            findings=gate.findings,
            dry_run=dry_run,
        )
    promoted = promote and decision != "rejected" and not dry_run
    if promoted:
        registry.promote(version, replacing=replacing)
    return Training(manifest, registry.location(version), model, evaluated.summary, gate, promoted, seconds)


@dataclass(frozen=True)
class _Evaluation:
    """Everything that is known of a model before the gate judges it."""

    summary: pd.DataFrame
    stability: evaluation.Stability
    seed_agreement: float
    silhouette: float
    selection: pd.DataFrame
    projection: pd.DataFrame
    migrations: evaluation.Migrations | None

    def figures(self) -> GateFigures:
        return GateFigures(
            silhouette=self.silhouette,
            smallest_segment_share=float(self.summary["customer_share"].min()),
            mean_stability=self.stability.mean,
            worst_stability=self.stability.worst,
            seed_agreement=self.seed_agreement,
            migration_share=self.migrations.share if self.migrations else None,
            untrue_names=tuple(evaluation.untrue_names(self.summary)),
        )

    def plot_files(self, model: SegmentModel) -> dict[str, bytes]:
        """Return each plot and its data: curves over k, segment profiles, a projection, migrations."""
        names = model.segments
        files = {
            "plots/selection.csv": _csv(self.selection).encode(),
            "plots/selection.png": plots.selection(self.selection, chosen_k=len(names)),
            "plots/segments.csv": _csv(self.summary.reset_index()).encode(),
            "plots/segments.png": plots.segments(self.summary),
            "plots/projection.csv": _csv(self.projection.reset_index()).encode(),
            "plots/projection.png": plots.projection(self.projection, names),
        }
        if self.migrations:
            files["plots/migrations.csv"] = _csv(self.migrations.moves).encode()
            files["plots/migrations.png"] = plots.migrations(self.migrations.moves, names)
        return files


def _evaluate(
    model: SegmentModel,
    customers: pd.DataFrame,
    ids: "pd.Series[int]",
    before: "pd.Series[int] | None",
    *,
    k: int,
    seed: int,
    seconds: dict[str, float],
) -> _Evaluation:
    sample = evaluation.evaluation_sample(customers, seed)
    with _measured(seconds, "bootstrap"):
        stability = evaluation.bootstrap_stability(sample, ids.loc[sample.index], k, seed=seed)
    with _measured(seconds, "seeds"):
        agreement = evaluation.seed_agreement(sample, k)
    with _measured(seconds, "silhouette"):
        separation = evaluation.silhouette(model, sample)
    with _measured(seconds, "choice of k"):
        selection = evaluation.selection_table(sample, seed)
    return _Evaluation(
        summary=evaluation.summarize_segments(model, customers, ids),
        stability=stability,
        seed_agreement=agreement,
        silhouette=separation,
        selection=selection,
        projection=evaluation.project(model, sample),
        migrations=evaluation.compare(before, ids) if before is not None else None,
    )


def _metrics(
    features: CustomerFeatures, evaluated: _Evaluation, gate: GateResult, decision: Decision
) -> dict[str, Any]:
    migrations = evaluated.migrations
    return {
        "customers": len(features.frame),
        "customers_without_orders": features.without_orders,
        "decision": decision,
        "checks": [{**asdict(check), "passed": check.passed} for check in gate.checks],
        "findings": gate.findings,
        "bootstrap": asdict(evaluated.stability),
        "segments": _records(evaluated.summary.reset_index()),
        "selection": _records(evaluated.selection),
        "migrations": {**vars(migrations), "moves": _records(migrations.moves)} if migrations else None,
    }


def _card(
    version: str,
    features: CustomerFeatures,
    evaluated: _Evaluation,
    gate: GateResult,
    parameters: Mapping[str, Any],
) -> str:
    without = f"{features.without_orders} without an order are in no segment"
    facts = [
        ("Decision", parameters["decision"]),
        ("Customers", f"{len(features.frame)}; {without}"),
        ("k, seed", f"{parameters['k']}, {parameters['seed']}"),
        ("Data fingerprint", parameters["data_fingerprint"]),
        ("Evaluated on", f"{parameters['evaluation_customers']} customers"),
        ("Compared with", parameters["compared_with"] or "no version"),
    ]
    return write_card(
        version=version,
        summary=evaluated.summary,
        gate=gate,
        selection=evaluated.selection,
        migrations=evaluated.migrations,
        facts=facts,
    )


@contextmanager
def _measured(seconds: dict[str, float], step: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[step] = time.perf_counter() - start


def _csv(table: pd.DataFrame) -> str:
    return table.to_csv(index=False, lineterminator="\n")


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _json(value: object) -> str:
    """Write JSON; money (Decimal) becomes text, so that it stays exact."""

    def plain(one: object) -> object:
        return one.item() if isinstance(one, np.generic) else str(one)

    return json.dumps(value, indent=2, default=plain) + "\n"


console = Console(highlight=False)
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    *,
    features: Annotated[Path, typer.Option(help="Features of the customers, .csv or .parquet.")],
    output: Annotated[str, typer.Option(help="Folder or URI of the registry; default: ML_REGISTRY.")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    k: Annotated[int, typer.Option(help="Number of segments; the names are made for 5.")] = DEFAULT_K,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Train and judge, but promote nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Promote whatever the gate says; recorded.")] = False,
) -> None:
    """Train the customer segments and print them; exit 1 where the gate fails, 2 on unusable input."""
    registry = open_registry(output)
    try:
        training = train(read_features(features), registry, k=k, seed=seed, dry_run=dry_run, force=force)
    except (FeaturesError, SegmentationError, RegistryError) as error:
        console.print(str(error), soft_wrap=True, markup=False)
        raise typer.Exit(2) from error
    console.print(_table(training.summary))
    for finding in training.gate.findings:
        console.print(f"Gate: {finding}", soft_wrap=True, markup=False)
    steps = ", ".join(f"{step} {seconds:.1f}" for step, seconds in training.seconds.items())
    console.print(f"Seconds: {steps}", soft_wrap=True)
    state = "current now" if training.promoted else "not promoted"
    console.print(
        f"Version {training.location}: {training.version.decision}, {state}", soft_wrap=True, markup=False
    )
    raise typer.Exit(0 if training.passed else 1)


def _table(summary: pd.DataFrame) -> Table:
    table = Table(
        "Id",
        "Segment",
        title="Customer segments: revenue in USD, days since the last order",
        box=box.SIMPLE_HEAD,
    )
    for column in table.columns:
        column.no_wrap = True
    for header in ("Customers", "Share", "Revenue", "Per order", "Days"):
        table.add_column(header, justify="right", no_wrap=True)
    for segment_id, one in summary.iterrows():
        table.add_row(
            str(segment_id),
            one.segment_name,
            f"{one.customers:,}",
            f"{one.customer_share:.1%}",
            f"{one.revenue:,.0f}",
            f"{one.average_order_value:,.0f}",
            f"{one.recency_days:.0f}",
        )
    return table


if __name__ == "__main__":
    app()
