"""A small file that becomes a large one is refused before it fills the disk or the memory."""

import gzip
import zipfile
from pathlib import Path

import openpyxl
import pytest

from include.ingestion import unpacking, workbooks
from include.ingestion.errors import IngestionError
from include.settings import Settings
from tests.ingestion.conftest import CUSTOMERS, HEADER, Shop, WriteXlsx

ROW = "1,F,Chicago,12\n"
SIXTY_MEGABYTES = HEADER + ROW * (60_000_000 // len(ROW))


def with_limits(monkeypatch: pytest.MonkeyPatch, **limits: int) -> None:
    settings = Settings().model_copy(update=limits)
    for module in (unpacking, workbooks):
        monkeypatch.setattr(module, "get_settings", lambda: settings)


def test_gzip_of_an_incredible_ratio_is_refused(shop: Shop) -> None:
    packed = gzip.compress(SIXTY_MEGABYTES.encode())
    assert len(packed) < 300_000
    shop.deliver("customers.csv.gz", packed)
    with pytest.raises(IngestionError, match=r"unpacks to more than 200 times its size \(SOURCE_MAX_RATIO\)"):
        shop.ingest()


def test_gzip_beyond_the_limit_is_refused_before_it_is_unpacked_whole(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with_limits(monkeypatch, source_max_unpacked_mb=5)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    written: list[int] = []
    monkeypatch.setattr(unpacking, "check_unpacked", _noting(written, unpacking.check_unpacked))
    shop.deliver("customers.csv.gz", gzip.compress(SIXTY_MEGABYTES.encode()))
    with pytest.raises(
        IngestionError, match=r"more than 5 MB \(SOURCE_MAX_UNPACKED_MB\); deliver it in parts"
    ):
        shop.ingest()
    assert max(written) < 7_000_000


def _noting(written: list[int], check):  # type: ignore[no-untyped-def]
    def noting(name: str, packed: int, unpacked: int, limit: int, setting: str) -> None:
        written.append(unpacked)
        check(name, packed, unpacked, limit, setting)

    return noting


@pytest.mark.parametrize("levels", [1, 2])
def test_gzip_within_gzip_is_read(shop: Shop, levels: int) -> None:
    content = CUSTOMERS.encode()
    for _ in range(levels):
        content = gzip.compress(content)
    shop.deliver("customers.csv.gz", content)
    assert shop.ingest()[0].rows == 2


def test_gzip_within_gzip_ends(shop: Shop) -> None:
    content = CUSTOMERS.encode()
    for _ in range(3):
        content = gzip.compress(content)
    shop.deliver("customers.csv.gz", content)
    with pytest.raises(IngestionError, match="is packed more than 2 times"):
        shop.ingest()


def padded(path: Path, megabytes: int) -> None:
    """Add a member of blanks, which pack a thousand times."""
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet9.xml", b" " * megabytes * 1_000_000)


def test_a_workbook_of_an_incredible_ratio_is_refused(shop: Shop, write_xlsx: WriteXlsx) -> None:
    padded(write_xlsx("customers.xlsx", [HEADER.strip().split(","), [1, "F", "Chicago", 12]]), 60)
    with pytest.raises(IngestionError, match="SOURCE_MAX_RATIO"):
        shop.ingest()


def test_a_workbook_beyond_the_limit_is_refused(
    shop: Shop, write_xlsx: WriteXlsx, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_limits(monkeypatch, source_max_workbook_mb=1)
    padded(write_xlsx("customers.xlsx", [HEADER.strip().split(","), [1, "F", "Chicago", 12]]), 2)
    with pytest.raises(IngestionError, match=r"more than 1 MB \(SOURCE_MAX_WORKBOOK_MB\)"):
        shop.ingest()


def test_xml_entities_are_not_expanded(shop: Shop, write_xlsx: WriteXlsx) -> None:
    """openpyxl leaves that to defusedxml, and would read on without it."""
    assert openpyxl.DEFUSEDXML
    path = write_xlsx("customers.xlsx", [HEADER.strip().split(","), [1, "F", "Chicago", 12]])
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    entity = b'<!DOCTYPE x [<!ENTITY a "Chicago">]>'
    sheet = members["xl/worksheets/sheet1.xml"]
    start = sheet.index(b"<worksheet")
    members["xl/worksheets/sheet1.xml"] = sheet[:start] + entity + sheet[start:]
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(IngestionError, match="is not a readable XLSX workbook"):
        shop.ingest()
