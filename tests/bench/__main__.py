"""`make bench`: what the product costs, as ratios of one run on one machine, each beside its limit and goal.

All of BENCHES take some ten minutes on two cores; those of LONGER run by name. The figures end in
.local/bench.json.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from include.settings import get_settings
from tests.bench.batch import bench_airflow, bench_ingestion, bench_scale
from tests.bench.figures import write_figures
from tests.bench.insights import bench_insights
from tests.bench.live import bench_live
from tests.bench.measure import Ratio
from tests.bench.product import bench_demo, bench_parse
from tests.bench.segments import bench_million, bench_training
from tests.bench.streaming import bench_drain, bench_freshness, bench_steady

console = Console(highlight=False)

BENCHES: dict[str, Callable[[Path], Iterator[Ratio]]] = {
    "airflow": bench_airflow,
    "ingestion": bench_ingestion,
    "drain": bench_drain,
    "live": bench_live,
    "demo": bench_demo,
    "parse": bench_parse,
    "million": bench_million,
    "scale": bench_scale,
    "training": bench_training,
    "insights": bench_insights,
}
LONGER: dict[str, Callable[[Path], Iterator[Ratio]]] = {
    "local": partial(bench_airflow, with_local=True),
    "steady": bench_steady,
    "freshness": bench_freshness,
}
# A bench runs no suite: the command says at its end how long it took.
ELSEWHERE = "make test, fresh clone with set-up: ≤ 10 min (goal 8 min), as `time make test` prints there."


def main(
    names: Annotated[
        list[str] | None, typer.Argument(help=f"Some of {', '.join([*BENCHES, *LONGER])}.")
    ] = None,
) -> None:
    """Run the benchmarks, print a table, write the figures; exit 1 where a limit is not kept or one fails."""
    ratios, failed, began = list[Ratio](), list[str](), time.monotonic()
    for name in names or list(BENCHES):
        with tempfile.TemporaryDirectory(prefix=f"bench-{name}-") as folder, console.status(name):
            try:
                ratios += list({**BENCHES, **LONGER}[name](Path(folder)))
            except Exception:  # noqa: BLE001 (the others' figures took minutes)
                console.print_exception()
                failed.append(name)
    table = Table("Ratio", "Measured", "Limit", "Goal", "", "Figures")
    for one in ratios:
        sign = "≤" if one.at_most else "≥"
        table.add_row(
            one.what,
            f"{one.value:.2f}",
            f"{sign} {one.limit:g}",
            f"{sign} {one.goal:g}" if one.goal else "",
            "ok" if one.holds else "MISSED",
            one.detail,
        )
    console.print(table)
    file = get_settings().local_dir / "bench.json"
    write_figures(ratios, file)
    console.print(f"{ELSEWHERE}\n{(time.monotonic() - began) / 60:.0f} min; figures in {file}")
    if failed:
        console.print(f"Failed, with no figures: {', '.join(failed)}.")
    raise typer.Exit(0 if all(one.holds for one in ratios) and not failed else 1)


if __name__ == "__main__":
    typer.run(main)
