"""Train the customer segments from the command line, as the DAG `segment_retraining` does.

    python -m ml.train --features FILE [--output DIR] [--seed N] [--k N] [--dry-run] [--override CHECK]...

Ends with 0 if the gate passed (or was overridden), 1 if it did not, 2 if the features or k cannot be used.
"""

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from rich import box
from rich.console import Console
from rich.table import Table

from include.settings import run_command
from ml.features import FeaturesError, read_features
from ml.gate import UnknownCheckError
from ml.registry import RegistryError, open_registry
from ml.segmentation import DEFAULT_K, SegmentationError
from ml.training import Training, train

console = Console(highlight=False)
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    *,
    features: Annotated[Path, typer.Option(help="Features of the customers, .csv or .parquet.")],
    output: Annotated[str, typer.Option(help="Folder or URI of the registry; default: ML_REGISTRY.")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random draw.")] = 0,
    k: Annotated[int, typer.Option(help="Number of segments; the names are made for 5.")] = DEFAULT_K,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Train and judge, but promote nothing.")] = False,
    override: Annotated[
        list[str] | None, typer.Option(help="Check that may fail, by its name; recorded. Repeatable.")
    ] = None,
) -> None:
    """Train the customer segments and print them; exit 1 if the gate fails, 2 on unusable input."""
    registry = open_registry(output)
    try:
        training = train(
            read_features(features), registry, k=k, seed=seed, dry_run=dry_run, override=override or ()
        )
    except (FeaturesError, SegmentationError, RegistryError, UnknownCheckError) as error:
        console.print(str(error), soft_wrap=True, markup=False)
        raise typer.Exit(2) from error
    _print(training)
    raise typer.Exit(0 if training.passed else 1)


def _print(training: Training) -> None:
    console.print(_table(training.summary))
    for finding in training.gate.findings:
        console.print(f"Gate: {finding}", soft_wrap=True, markup=False)
    steps = ", ".join(f"{step} {seconds:.1f}" for step, seconds in training.seconds.items())
    console.print(f"Seconds: {steps}", soft_wrap=True)
    state = "current now" if training.promoted else "not promoted"
    console.print(
        f"Version {training.location}: {training.version.decision}, {state}", soft_wrap=True, markup=False
    )


def _table(summary: pd.DataFrame) -> Table:
    table = Table(
        "Id",
        "Segment",
        title="Customer segments: revenue in USD, in all and a purchase day; days since the last",
        box=box.SIMPLE_HEAD,
    )
    for column in table.columns:
        column.no_wrap = True
    for header in ("Customers", "Share", "Revenue", "Per day", "Days"):
        table.add_column(header, justify="right", no_wrap=True)
    for segment_id, one in summary.iterrows():
        table.add_row(
            str(segment_id),
            one.segment_name,
            f"{one.customers:,}",
            f"{one.customer_share:.1%}",
            f"{one.revenue:,.0f}",
            f"{one.purchase_day_value:,.0f}",
            f"{one.recency_days:.0f}",
        )
    return table


if __name__ == "__main__":
    run_command(app)
