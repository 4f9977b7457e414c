"""CI warns of what `make bench` found worse than before."""

from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tests.bench import figures
from tests.bench.measure import Ratio, quantile

TIME = Ratio("a run, s", 2.0, 3.0, at_most=True, detail="2 s", goal=1.0)
RATE = Ratio("draining", 0.7, 0.5, at_most=False, detail="7 / 10")


def warnings(tmp_path: Path, before: list[Ratio] | None, now: list[Ratio]) -> list[str]:
    """Return the warnings of the second of two runs, or of the only one."""
    files = tmp_path / "before.json", tmp_path / "now.json"
    if before is not None:
        figures.write_figures(before, files[0])
    figures.write_figures(now, files[1])
    app = typer.Typer()
    app.command()(figures.main)
    result = CliRunner().invoke(app, list(map(str, files)), catch_exceptions=False)
    assert result.exit_code == 0
    *lines, last = result.output.splitlines()
    assert last.startswith(f"{len(lines)} warning(s), ")
    prefix = "::warning title=make bench::"
    assert all(line.startswith(prefix) for line in lines)
    return [line.removeprefix(prefix) for line in lines]


@pytest.mark.parametrize(
    ("row", "value", "warned"),
    [
        (TIME, 2.19, False),
        (TIME, 2.21, True),
        (TIME, 1.0, False),
        (RATE, 0.64, False),
        (RATE, 0.63, True),
        (RATE, 2.0, False),
    ],
)
def test_a_tenth_worse_is_a_warning_and_better_is_none(
    tmp_path: Path, row: Ratio, value: float, warned: bool
) -> None:
    found = warnings(tmp_path, [TIME, RATE], [replace(row, value=value)])
    assert len(found) == warned
    assert all(one.startswith(f"{row.what}: {value:.2f}, was {row.value:.2f} at ") for one in found)


def test_a_missed_limit_is_a_warning_in_the_first_run_too(tmp_path: Path) -> None:
    assert warnings(tmp_path, None, [replace(TIME, value=3.5), RATE]) == [
        "a run, s: 3.50, should be at most 3 (2 s)"
    ]


def test_a_row_that_is_new_or_gone_is_no_matter(tmp_path: Path) -> None:
    assert warnings(tmp_path, [TIME], [RATE]) == []


def test_another_kind_of_machine_is_not_compared() -> None:
    now = {
        "commit": "b" * 40,
        "cores": 2,
        "rows": [{"what": "a run", "value": 9.0, "at_most": True, "holds": True}],
    }
    before = {**now, "commit": "a" * 40, "cores": 64, "rows": [{"what": "a run", "value": 1.0}]}
    assert list(figures.complaints(before, now)) == [f"no comparison: {'a' * 40} ran on 64 cores, this on 2"]


def test_a_quantile_lies_within_its_bucket() -> None:
    histogram = {0.5: 90.0, 1.0: 100.0, float("inf"): 100.0}
    assert quantile(histogram, 0.5) == pytest.approx(0.5 * 50 / 90)
    assert quantile(histogram, 0.99) == pytest.approx(0.95)
    assert quantile({0.5: 1.0, float("inf"): 100.0}, 0.99) == 0.5
    with pytest.raises(RuntimeError, match="no event"):
        quantile({0.5: 0.0, float("inf"): 0.0}, 0.99)
