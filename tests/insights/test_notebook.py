"""The analysts' notebook shows what the snapshot holds, and opens nothing else."""

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from include.insights.snapshot import Snapshot
from include.settings import PROJECT_ROOT

pytestmark = pytest.mark.slow

NOTEBOOK = PROJECT_ROOT / "include" / "insights" / "notebooks" / "marketing_insights.ipynb"


def test_it_answers_from_the_snapshot_alone(
    location: str, snapshot: Snapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a warehouse: the file that the settings name is not there."""
    monkeypatch.setenv("INSIGHTS_LOCATION", location)
    monkeypatch.setenv("DUCKDB_PATH", str(tmp_path / "none.duckdb"))
    monkeypatch.setenv("PYTHONPATH", str(PROJECT_ROOT))
    notebook: Any = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code), "committed with outputs"

    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(PROJECT_ROOT)}}).execute()

    outputs = [output for cell in code for output in cell["outputs"]]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    text = "".join(str(output.get("text", "")) + str(output.get("data", "")) for output in outputs)
    assert snapshot.manifest.snapshot_id in text
    [used] = snapshot.query(
        "select sum(discount_amount) as discount from fct_coupon_effect where coupon_status = 'Used'"
    )
    assert str(used["discount"]) in text
    assert not list(tmp_path.iterdir())
