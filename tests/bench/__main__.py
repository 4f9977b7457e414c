"""`make bench`: what the product costs, as ratios of one run on one machine, each beside its limit."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from tests.bench.batch import bench_airflow, bench_ingestion, bench_scale
from tests.bench.insights import bench_insights
from tests.bench.measure import Ratio
from tests.bench.segments import bench_million, bench_training
from tests.bench.streaming import bench_beside_dbt, bench_drain, bench_freshness, bench_steady

console = Console(highlight=False)

BENCHES: dict[str, Callable[[Path], Iterator[Ratio]]] = {
    "ingestion": bench_ingestion,
    "scale": bench_scale,
    "airflow": bench_airflow,
    "training": bench_training,
    "million": bench_million,
    "insights": bench_insights,
    "drain": bench_drain,
    "steady": bench_steady,
    "beside-dbt": bench_beside_dbt,
    "freshness": bench_freshness,
}


def main(
    names: Annotated[list[str] | None, typer.Argument(help=f"Some of {', '.join(BENCHES)}.")] = None,
) -> None:
    """Run the benchmarks and print a table; exit 1 where a limit is not kept."""
    ratios = []
    for name in names or list(BENCHES):
        with tempfile.TemporaryDirectory(prefix=f"bench-{name}-") as folder, console.status(name):
            ratios += list(BENCHES[name](Path(folder)))
    table = Table("Ratio", "Measured", "Limit", "", "Figures")
    for one in ratios:
        sign = "≤" if one.at_most else "≥"
        table.add_row(
            one.what, f"{one.value:.2f}", f"{sign} {one.limit:g}", "ok" if one.holds else "MISSED", one.detail
        )
    console.print(table)
    raise typer.Exit(0 if all(one.holds for one in ratios) else 1)


if __name__ == "__main__":
    typer.run(main)
