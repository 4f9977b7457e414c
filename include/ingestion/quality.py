"""What must hold of the raw tables before anything is built from them."""

import datetime as dt
import logging
from typing import Any

import yaml

from include.alert_kind import AlertKind
from include.ingestion.datasets import DATASETS
from include.ingestion.errors import IngestionError
from include.ingestion.loader import create_tables
from include.ingestion.origin import LEDGER
from include.settings import DBT_PROJECT_DIR
from include.warehouse import Warehouse

log = logging.getLogger(__name__)

SOURCE_FILE = DBT_PROJECT_DIR / "models" / "staging" / "shop" / "_raw__sources.yml"


class RawTablesError(IngestionError):
    """A raw table is not what the ledger says."""

    alert_kind = AlertKind.GATE_FAILED


def check_raw_tables(warehouse: Warehouse) -> dict[str, int]:
    """Return the number of rows of each raw table.

    A data set whose newest load is older than the dbt source's `warn_after` is named in the log: a shop may
    have nothing new to deliver. Raises RawTablesError where a table that is needed is empty, or one holds
    other rows than the ledger says.
    """
    limit = _warn_after()
    with warehouse.session() as session:
        for dataset in DATASETS.values():
            create_tables(session, dataset)
        newest = session.execute(
            f"select dataset, part, row_count, loaded_at from {LEDGER} order by loaded_at"  # noqa: S608 (our names)
        )
        per_part = {(dataset, part): row_count for dataset, part, row_count, _ in newest}
        loaded_at = {dataset: loaded for dataset, _, _, loaded in newest}
        counts = {}
        for dataset in DATASETS.values():
            expected = sum(rows for (name, _), rows in per_part.items() if name == dataset.name)
            if not expected and dataset.needed:
                raise RawTablesError(f"No file of {dataset.name} was ever loaded into {dataset.table}.")
            [(found,)] = session.execute(f"select count(*) from {dataset.table}")  # noqa: S608
            if found != expected:
                raise RawTablesError(f"{dataset.table} holds {found} rows, its ledger says {expected}.")
            counts[dataset.name] = found
            if not expected:
                continue
            age = dt.datetime.now(dt.UTC) - loaded_at[dataset.name]
            if age > limit:
                log.warning(
                    "%s: nothing new was loaded for %d days, more than the %d of its source's warn_after.",
                    dataset.table,
                    age.days,
                    limit.days,
                )
    return counts


def _warn_after() -> dt.timedelta:
    """Return the age from which on dbt's source freshness warns of the raw tables."""
    document: Any = yaml.safe_load(SOURCE_FILE.read_text(encoding="utf-8"))
    warn_after = document["sources"][0]["config"]["freshness"]["warn_after"]
    return dt.timedelta(**{f"{warn_after['period']}s": warn_after["count"]})
