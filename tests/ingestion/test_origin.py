"""Generated files and a shop's own have the same names; a warehouse takes only one kind."""

from pathlib import Path

import pytest

from include.ingestion.errors import IngestionError
from include.ingestion.loader import ingest
from include.ingestion.origin import MARKER
from tests.ingestion.conftest import CUSTOMERS, HEADER, Shop

GENERATED = HEADER + "17850,M,Chicago,9\n"


@pytest.fixture
def generated(tmp_path: Path) -> Path:
    """A folder of generated files."""
    folder = tmp_path / "generated"
    folder.mkdir()
    (folder / "CustomersData.csv").write_text(GENERATED, encoding="utf-8")
    (folder / MARKER).write_text("{}", encoding="utf-8")
    return folder


def test_generated_files_do_not_correct_a_shops(shop: Shop, generated: Path) -> None:
    shop.deliver("CustomersData.csv", CUSTOMERS)
    shop.ingest()
    before = shop.state()

    with pytest.raises(IngestionError) as error:
        ingest(shop.warehouse, str(generated), "customers")

    assert shop.state() == before
    assert f"files of a shop ({shop.folder})" in str(error.value)
    assert f"generated files ({generated})" in str(error.value)


def test_a_shops_files_do_not_correct_generated_ones(shop: Shop, generated: Path) -> None:
    ingest(shop.warehouse, str(generated), "customers")
    before = shop.state()
    shop.deliver("CustomersData.csv", CUSTOMERS)

    with pytest.raises(IngestionError, match="they do not go together"):
        shop.ingest()

    assert shop.state() == before


def test_files_of_one_kind_may_come_from_another_folder(shop: Shop, tmp_path: Path) -> None:
    shop.deliver("CustomersData.csv", CUSTOMERS)
    shop.ingest()
    other = tmp_path / "other"
    other.mkdir()
    (other / "CustomersData.csv").write_text(GENERATED, encoding="utf-8")
    assert ingest(shop.warehouse, str(other), "customers")[0].loaded


def test_a_warehouse_of_a_release_that_noted_no_origin_takes_either(shop: Shop, generated: Path) -> None:
    shop.deliver("CustomersData.csv", CUSTOMERS)
    shop.ingest()
    shop.query("update raw.ingestion_ledger set is_generated = null")
    assert ingest(shop.warehouse, str(generated), "customers")[0].loaded
