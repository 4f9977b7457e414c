"""What must hold of the raw tables before anything is built from them."""

from include.alert_kind import AlertKind
from include.ingestion.datasets import DATASETS
from include.ingestion.errors import IngestionError
from include.ingestion.loader import create_tables
from include.ingestion.origin import LEDGER
from include.warehouse import Warehouse


class RawTablesError(IngestionError):
    """A raw table is not what the ledger says."""

    alert_kind = AlertKind.GATE_FAILED


def check_raw_tables(warehouse: Warehouse) -> dict[str, int]:
    """Return the number of rows of each raw table.

    Raises RawTablesError where a table is missing or empty, or holds other rows than the ledger says.
    """
    with warehouse.session() as session:
        for dataset in DATASETS.values():
            create_tables(session, dataset)
        newest = session.execute(
            f"select dataset, part, row_count from {LEDGER} order by loaded_at"  # noqa: S608 (our names)
        )
        per_part = {(dataset, part): row_count for dataset, part, row_count in newest}
        counts = {}
        for dataset in DATASETS.values():
            expected = sum(rows for (name, _), rows in per_part.items() if name == dataset.name)
            if not expected:
                raise RawTablesError(f"No file of {dataset.name} was ever loaded into {dataset.table}.")
            [(found,)] = session.execute(f"select count(*) from {dataset.table}")  # noqa: S608
            if found != expected:
                raise RawTablesError(f"{dataset.table} holds {found} rows, its ledger says {expected}.")
            counts[dataset.name] = found
    return counts
