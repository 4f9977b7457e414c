"""The notebook tells its story with the product's own functions, on a warehouse as the product makes it."""

from pathlib import Path
from typing import Any

import duckdb
import nbformat
import pytest
from nbclient import NotebookClient

from include.settings import PROJECT_ROOT
from ml.archetypes import ARCHETYPES
from tests.ml.customers import made_up_customers

pytestmark = pytest.mark.slow

NOTEBOOK = PROJECT_ROOT / "ml" / "notebooks" / "customer_segmentation.ipynb"


@pytest.fixture
def notebook() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.fixture
def warehouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A warehouse with the two tables that the notebook reads, found as a user's shell finds it."""
    path = tmp_path / "warehouse.duckdb"
    customers = made_up_customers().assign(as_of_date="2019-12-31")
    with duckdb.connect(str(path)) as connection:
        connection.register("customers", customers)
        connection.execute("create schema staging; create schema analytics")
        connection.execute("create table staging.int_customer_features as from customers")
        connection.execute(
            "create table analytics.fct_orders as select customer_id, date '2019-06-01' as order_date,"
            " monetary::decimal(18, 2) as net_sales_amount from customers"
        )
    monkeypatch.setenv("WAREHOUSE", "duckdb")
    monkeypatch.setenv("DUCKDB_PATH", str(path))
    monkeypatch.setenv("PYTHONPATH", str(PROJECT_ROOT))
    return path


def test_it_is_committed_without_outputs(notebook: Any) -> None:
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)


def test_it_runs_from_top_to_bottom(notebook: Any, warehouse: Path) -> None:
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(PROJECT_ROOT)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    text = "".join(str(output.get("text", "")) + str(output.get("data", "")) for output in outputs)
    assert len(pictures) >= 4
    assert all(archetype.name in text for archetype in ARCHETYPES)
    assert "600 customers with an order, 0 without" in text
    assert "must be at least" in text
