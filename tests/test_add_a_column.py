"""CONTRIBUTING's recipe "Add a column", followed in a copy of the project."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from include.settings import PROJECT_ROOT
from tests.dbt.dbt_project import keep_some

CODE = ("include", "ml", "standalone", "docs")
SHOP, CUSTOMERS = "include/dbt/models/staging/shop", "include/dbt/models/marts/customers"
DESCRIBED = """      - name: channel
        description: How the customer came.
"""
# What each step of the recipe changes: a text of the file, and what it becomes.
STEPS: dict[str, list[tuple[str, str]]] = {
    "include/ingestion/datasets.py": [
        (
            '("CustomersData", "CustomerData", "Customers", "Customer"),',
            '("CustomersData", "CustomerData", "Customers", "Customer"),\n optional=("channel",),',
        )
    ],
    "standalone/sample_data/generator.py": [
        ("        tenures,\n", "        tenures,\n        ['Search'] * CUSTOMERS,\n"),
        ('"Tenure_Months")', '"Tenure_Months", "Channel")'),
    ],
    f"{SHOP}/_raw__sources.yml": [
        (
            "            description: Months since the first contact.\n",
            "            description: Months since the first contact.\n"
            "          - name: channel\n            description: How the customer came.\n",
        )
    ],
    f"{SHOP}/base/base_customers.sql": [
        ("'tenure_months'] -%}", "'tenure_months', 'channel'] -%}"),
        (
            " as location_name,\n",
            " as location_name,\n        {{ text_value('channel') }} as channel_name,\n",
        ),
        (
            "    location_name as location,\n",
            "    location_name as location,\n    channel_name as channel,\n",
        ),
    ],
    f"{SHOP}/base/base_customers.yml": [("      - name: warning\n", f"{DESCRIBED}      - name: warning\n")],
    f"{SHOP}/stg_customers.sql": [("        location,\n", "        location,\n        channel,\n")],
    f"{SHOP}/stg_customers.yml": [("      - name: loaded_at\n", f"{DESCRIBED}      - name: loaded_at\n")],
    f"{CUSTOMERS}/dim_customer.sql": [
        (
            "        cast(null as varchar) as location,\n",
            "        null as location,\n        null as channel,\n",
        ),
        ("        location,\n", "        location,\n        channel,\n"),
        ("    by_tenure.location,\n", "    by_tenure.location,\n    by_tenure.channel,\n"),
    ],
    f"{CUSTOMERS}/dim_customer.yml": [
        (
            "      - name: customer_segment\n",
            f"{DESCRIBED}        data_type: varchar\n      - name: customer_segment\n",
        )
    ],
    "docs/your-files.md": [
        ("gender, location, tenure_months |", "gender, location, tenure_months; channel |")
    ],
}
LOAD = """
from include.ingestion.datasets import DATASETS
from include.ingestion.loader import ingest
from include.warehouse.duckdb import DuckDBWarehouse
from ml.seed import ensure_seed
import pathlib, sys
ensure_seed()
for dataset in DATASETS:
    ingest(DuckDBWarehouse(pathlib.Path(sys.argv[2])), sys.argv[1], dataset)
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project after all steps but the contract's."""
    folder = tmp_path_factory.mktemp("copy")
    run_time = shutil.ignore_patterns("target", "logs", "__pycache__", "customer_segments.csv")
    for name in CODE:
        shutil.copytree(PROJECT_ROOT / name, folder / name, ignore=run_time)
    for name in STEPS:
        if name != f"{CUSTOMERS}/dim_customer.yml":
            take(folder, name)
    return folder


def take(folder: Path, name: str) -> None:
    """Make the change of one step."""
    path = folder / name
    text = path.read_text(encoding="utf-8")
    for before, after in STEPS[name]:
        assert before in text, f"{name} no longer has: {before}"
        text = text.replace(before, after, 1)
    path.write_text(text, encoding="utf-8")


def run(copy: Path, *arguments: str, cwd: str = "") -> subprocess.CompletedProcess[str]:
    """Run a program in the copy, on a warehouse of its own."""
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "PYTHONPATH": str(copy),
        "LOCAL_DIR": str(copy / "local"),
        "AIRFLOW_HOME": str(copy / "airflow"),
        "DUCKDB_PATH": str(copy / "shop.duckdb"),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "False",
    }
    return subprocess.run(
        arguments, cwd=copy / cwd, env=environment, capture_output=True, text=True, check=False, timeout=300
    )


def test_the_recipe_names_the_files_that_change_in_their_order() -> None:
    text = (PROJECT_ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (recipe,) = re.findall(r"^## Add a column\n(.*?)^## ", text, re.MULTILINE | re.DOTALL)
    assert re.findall(r"^\d+\. `([^`]+)`:", recipe, re.MULTILINE) == list(STEPS)


def test_whoever_follows_the_recipe_has_the_column(copy: Path, tmp_path: Path) -> None:
    """From generated files with it and an older one without, up to the mart, whose contract is asked for."""
    made = run(copy, sys.executable, "-m", "standalone.sample_data", str(tmp_path / "everyone"))
    assert made.returncode == 0, made.stderr
    keep_some(tmp_path / "everyone", tmp_path / "shop", 20)
    (tmp_path / "shop" / "Customers_2018.csv").write_text(
        "CustomerID,Gender,Location,Tenure_Months\n99,F,Oslo,3\n", encoding="utf-8"
    )
    loaded = run(copy, sys.executable, "-c", LOAD, str(tmp_path / "shop"), str(copy / "shop.duckdb"))
    assert loaded.returncode == 0, loaded.stderr

    build = ("dbt", "run", "--select", "+dim_customer")
    refused = run(copy, *build, cwd="include/dbt")
    assert refused.returncode == 1
    assert "contract" in refused.stdout

    take(copy, f"{CUSTOMERS}/dim_customer.yml")
    built = run(copy, *build, cwd="include/dbt")
    assert built.returncode == 0, built.stdout
    with duckdb.connect(str(copy / "shop.duckdb"), read_only=True) as connection:
        found = connection.execute(
            "select channel, count(*) from analytics.dim_customer group by 1 order by 1"
        ).fetchall()
    assert found == [("Search", 20), (None, 1)]
