"""dbt's docs and state, made from generated files; and the build of just the models that differ from a state.

A state is a folder with `manifest.json`, the DuckDB file that it describes, and the docs. CI keeps the main
branch's and builds a change against it.
"""

import shutil
import subprocess
from datetime import date
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import duckdb

from include.ingestion.datasets import DATASETS
from include.ingestion.loader import create_tables, ingest
from include.settings import DBT_PROJECT_DIR, Settings
from include.warehouse.duckdb import DuckDBWarehouse
from ml.seed import SEEDS, ensure_seed
from standalone.environment import VENV_BIN, airflow_environment, sample_data_dir
from standalone.errors import StandaloneError
from standalone.sample_data.generator import generate

WAREHOUSE = "marketing_insights.duckdb"  # the file's name is the database's name in a manifest

AMOUNTS = (
    "gross_sales_amount",
    "discount_amount",
    "net_sales_amount",
    "gst_amount",
    "delivery_amount",
    "total_amount",
)
# The category is that of dim_products, which the facts of older states can be joined to as well.
_MONEY = """
select
    date_trunc('month', transaction_date)::date as month, category, amount_name, sum(amount) as amount
from (
    unpivot (
        select transaction_date, category, {amounts}
        from {database}.analytics.fct_sales join {database}.analytics.dim_products using (product_sku)
    )
    on {names} into name amount_name value amount
)
group by all
"""


class StateError(StandaloneError):
    """There is no state to compare with, or dbt failed; the message says which and, where known, why."""


class Difference(NamedTuple):
    """An amount of a month and category, in the shop's currency; None where a side has no such line."""

    month: date
    category: str
    amount_name: str
    before: Decimal | None
    after: Decimal | None


def make_state(settings: Settings, state: Path, project: Path = DBT_PROJECT_DIR) -> None:
    """Load generated files into a new DuckDB file in `state`, build all of dbt on it, add manifest and docs.

    Raises StateError if dbt fails, which has then said why.
    """
    shutil.rmtree(state, ignore_errors=True)
    files = sample_data_dir(settings)
    generate(files)
    for dataset in DATASETS:
        ingest(DuckDBWarehouse(state / WAREHOUSE), str(files), dataset)
    _dbt(settings, project, ["build"], state)
    _dbt(settings, project, ["docs", "generate", "--static"], state)


def build_changes(settings: Settings, state: Path, project: Path = DBT_PROJECT_DIR) -> None:
    """Build and test what differs from the state's manifest, and all that depends on it.

    In a copy of the state's warehouse, which has everything else as it was: an incremental model meets rows
    there, as it does in production. Then print where its money differs from the state's. Raises StateError.
    """
    if not (state / "manifest.json").is_file():
        raise StateError(f"{state} has no manifest.json: run `make state` on the branch to compare with")
    copy = settings.local_dir / "slim"
    copy.mkdir(parents=True, exist_ok=True)
    shutil.copy(state / WAREHOUSE, copy / WAREHOUSE)
    with DuckDBWarehouse(copy / WAREHOUSE).session() as session:
        for dataset in DATASETS.values():  # which the state's branch may not know
            create_tables(session, dataset)
    select = ["--select", "state:modified+", "--defer", "--state", str(state.resolve())]
    _dbt(settings, project, ["build", *select], copy)
    _print_money(state / WAREHOUSE, copy / WAREHOUSE)


def money_differences(before: Path, after: Path) -> list[Difference] | None:
    """Return where two DuckDB files' money differs, by month and category; None unless both have sales."""
    with duckdb.connect() as connection:
        connection.execute(f"attach '{before}' as before (read_only)")
        connection.execute(f"attach '{after}' as after (read_only)")
        found = connection.execute(
            "select count(distinct database_name) from duckdb_tables()"
            " where database_name in ('before', 'after') and schema_name = 'analytics'"
            " and table_name = 'fct_sales'"
        ).fetchone()
        if found != (2,):
            return None
        amounts = ", ".join(f"{name}::decimal(18, 2) as {name}" for name in AMOUNTS)
        sides = {
            database: _MONEY.format(database=database, amounts=amounts, names=", ".join(AMOUNTS))
            for database in ("before", "after")
        }
        rows = connection.execute(
            "select month, category, amount_name, old.amount, new.amount"  # noqa: S608
            f" from ({sides['before']}) as old full join ({sides['after']}) as new"
            " using (month, category, amount_name)"
            " where old.amount is distinct from new.amount order by all"
        ).fetchall()
    return [Difference(*row) for row in rows]


def _print_money(before: Path, after: Path) -> None:
    """A difference is printed, not an error: it may be what the change is for, and a reviewer decides."""
    differences = money_differences(before, after)
    if differences is None:
        print("Money: not compared, since there is no fct_sales on both sides.")
    elif not differences:
        print("Money: the same in every month and category.")
    else:
        print(f"Money: {len(differences)} amounts differ (month, category, amount: before -> after).")
        for one in differences:
            print(f"  {one.month:%Y-%m}, {one.category}, {one.amount_name}: {one.before} -> {one.after}")


def _dbt(settings: Settings, project: Path, command: list[str], folder: Path) -> None:
    """Run dbt on the folder's warehouse, its output on ours; Airflow's own manifest stays as it is.

    In a copy of the project without segments: those in use here are of customers whom no generated file has.
    """
    own = settings.model_copy(update={"warehouse": "duckdb", "duckdb_path": (folder / WAREHOUSE).resolve()})
    argv = [str(VENV_BIN / "dbt"), *command, "--target-path", str(folder.resolve())]
    env = {**airflow_environment(own), "WAREHOUSE": own.warehouse}
    in_use = shutil.ignore_patterns("target", "logs", *(f"{seed}.csv" for seed in SEEDS))
    with TemporaryDirectory(prefix="dbt-state-") as parent:
        copy = shutil.copytree(project, Path(parent) / "dbt", ignore=in_use)
        ensure_seed(copy)
        result = subprocess.run(argv, cwd=copy, env=env, check=False)  # noqa: S603
    if result.returncode != 0:
        raise StateError(f"dbt {command[0]} failed with exit code {result.returncode}")
