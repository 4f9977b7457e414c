"""The figures of one `make bench` as JSON, and what became worse since another: `make bench-compare`.

    python -m tests.bench.figures .local/former/bench.json .local/bench.json

prints a warning of GitHub Actions for each row that is a tenth worse or misses its limit, and fails at none.
"""

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from include.settings import PROJECT_ROOT
from tests.bench.measure import Ratio

TOLERANCE = 1.1
Figures = dict[str, Any]


def write_figures(ratios: Sequence[Ratio], file: Path) -> None:
    """Write `commit`, `date` (ISO 8601, UTC), `cores`, and `rows`: each ratio and whether it holds."""
    describe = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    done = subprocess.run(describe, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    figures = {
        "commit": done.stdout.strip(),  # "" where it is no checkout
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "rows": [{**asdict(one), "holds": one.holds} for one in ratios],
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def complaints(before: Figures | None, now: Figures) -> Iterator[str]:
    """Yield a sentence for each row that misses its limit or is a tenth worse than that of the same name."""
    for row in now["rows"]:
        if not row["holds"]:
            bound = "at most" if row["at_most"] else "at least"
            yield f"{row['what']}: {row['value']:.2f}, should be {bound} {row['limit']:g} ({row['detail']})"
    if before is None:
        return
    if before["cores"] != now["cores"]:
        yield f"no comparison: {before['commit']} ran on {before['cores']} cores, this on {now['cores']}"
        return
    former = {row["what"]: row["value"] for row in before["rows"]}
    for row in now["rows"]:
        old, new = former.get(row["what"]), row["value"]
        if old is not None and (new > old * TOLERANCE if row["at_most"] else new < old / TOLERANCE):
            of = f"{before['commit'][:7]} of {before['date'][:10]}"
            yield f"{row['what']}: {new:.2f}, was {old:.2f} at {of}"


def main(
    before: Annotated[Path, typer.Argument(help="The former figures; without the file, limits only.")],
    now: Annotated[Path, typer.Argument(help="The new ones.")],
) -> None:
    """Print a warning for each row that became a tenth worse or misses its limit."""
    former = json.loads(before.read_text(encoding="utf-8")) if before.exists() else None
    found = list(complaints(former, json.loads(now.read_text(encoding="utf-8"))))
    for one in found:
        typer.echo(f"::warning title=make bench::{one}")
    compared = f"compared with {former['commit']}" if former else "no former figures"
    typer.echo(f"{len(found)} warning(s), {compared}")


if __name__ == "__main__":
    typer.run(main)
