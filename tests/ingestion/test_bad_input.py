"""A file that cannot be used stops the load with one sentence that names it, and nothing is half-loaded."""

import bz2
import gzip
import io
import lzma
import random
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from openpyxl import Workbook

from include.ingestion.errors import IngestionError
from include.ingestion.loader import ingest
from tests.ingestion.conftest import CUSTOMERS, HEADER, TWO_ROWS, Shop

CANNOT = r"customers\.csv cannot be read as CSV: "


def workbook(rows: int = 200) -> bytes:
    """Return an .xlsx of customers."""
    book = Workbook()
    for number in range(rows):
        book.worksheets[0].append(
            [number, "F", f"Chicago {number}", 12] if number else HEADER.strip().split(",")
        )
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


def zipped(*names: str) -> bytes:
    """Return a zip archive of files that hold the customers."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            archive.writestr(name, CUSTOMERS)
    return content.getvalue()


def tarred() -> bytes:
    """Return a tar archive of the customers."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        member = tarfile.TarInfo("customers.csv")
        member.size = len(CUSTOMERS)
        archive.addfile(member, io.BytesIO(CUSTOMERS.encode()))
    return content.getvalue()


BAD_FILES = {
    "empty file": (b"", r"customers\.csv is empty\."),
    "empty gzip": (gzip.compress(b""), r"customers\.csv is empty\."),
    "header only": (HEADER, r"customers\.csv holds no rows below its header\."),
    "header and blank lines": (f"{HEADER}\n  \n\n", r"customers\.csv holds no rows below its header\."),
    "workbook with a header only": (workbook(1), r"customers\.csv holds no rows below its header\."),
    "workbook without a cell": (workbook(0), r"customers\.csv is empty\."),
    "rows of commas only": (f"{HEADER},,,\n , ,\t,\n", r"customers\.csv holds no rows below its header\."),
    "commas only": (",,,\n,,,\n", r"customers\.csv holds no rows\."),
    "missing columns": (
        "CustomerID,Location\n1,Chicago\n",
        r"customers\.csv lacks the column\(s\) gender, tenure_months; it has customerid, location\.",
    ),
    "missing columns between tabs": (
        "CustomerID\tLocation\n1\tChicago\n",
        r"customers\.csv lacks the column\(s\) gender, tenure_months; it has customerid, location\.",
    ),
    "another delimiter": (
        CUSTOMERS.replace(",", ":"),
        r"customers\.csv lacks the column\(s\) customerid, .*; it has customerid_gender_location_tenure.*\.",
    ),
    "column twice": (
        f"Gender,{HEADER}F,1,F,Chicago,12\n",
        r"customers\.csv has the column\(s\) gender more than once\.",
    ),
    "column twice, written differently": (
        f"customer-id,{HEADER}1,1,F,Chicago,12\n",
        r"customers\.csv has the column\(s\) customerid more than once\.",
    ),
    "Latin-1": (
        f"{CUSTOMERS}3,F,Orléans,2\n".encode("latin-1"),
        r"customers\.csv is not UTF-8 text \(byte 0xe9 in line 4\); save it as UTF-8\.",
    ),
    "Latin-1 far behind": (
        (HEADER + TWO_ROWS * 50_000 + "3,F,Orléan").encode("latin-1") + b"\xe9",
        r"customers\.csv is not UTF-8 text \(byte 0xe9 in line 100002\); save it as UTF-8\.",
    ),
    "UTF-8 cut off": (
        f"{HEADER}1,F,Orlé".encode()[:-1],
        r"customers\.csv is not UTF-8 text \(byte 0xc3 in line 2\); save it as UTF-8\.",
    ),
    "UTF-16 cut off": (CUSTOMERS.encode("utf-16")[:-1], r"customers\.csv is damaged UTF-16 text: .*\."),
    "UTF-16 without BOM": (
        CUSTOMERS.encode("utf-16-le"),
        r"customers\.csv is not UTF-8 text \(byte 0x00 in .*",
    ),
    "too few fields": (
        f"{CUSTOMERS}3,F,X\n4,F,X,1\n",
        rf"{CANNOT}line 4 \(3,F,X\): 3 column\(s\), .* has 4\.",
    ),
    "too many fields": (
        f"{CUSTOMERS}3,F,X,1,9\n",
        rf"{CANNOT}line 4 \(3,F,X,1,9\): 5 column\(s\), .* has 4\.",
    ),
    "last row cut off": (CUSTOMERS[:-3], rf"{CANNOT}line 3 \(2,M,California\): 3 column\(s\), .* has 4\."),
    "a value beside the headers": (
        f"{HEADER.strip()},\n1,F,X,12,\n2,F,X,1,5\n",
        r"customers\.csv has a cell in a column without a header: line 3\.",
    ),
    "too few fields between tabs": (
        f"{CUSTOMERS}3,F,X\n".replace(",", "\t"),
        rf"{CANNOT}line 4 \(3,F,X\): 3 column\(s\), the header has 4\.",
    ),
    "too few fields after a break within quotes": (
        f'{HEADER}1,F,"Main Street\nChicago",12\n2,M\n',
        rf"{CANNOT}line 4 \(2,M\): 2 column\(s\), the header has 4\.",
    ),
    "quote never closed": (
        f'{HEADER}1,F,"Chicago,12\n{TWO_ROWS * 100_000}',
        rf"{CANNOT}line 2: a cell of more than 131,072 characters, as where a quote is never closed\.",
    ),
    "quote never closed, near the end": (
        f'{CUSTOMERS}3,F,"Chicago,12\n4,F,X,1\n',
        rf"{CANNOT}line 4: a quote is opened here and never closed\.",
    ),
    "quote out of place": (
        f'{HEADER}1,F,"Chi"cago,12\n',
        rf"{CANNOT}line 2: a quote is closed within a cell; double the quotes inside it\.",
    ),
    "decimal comma between semicolons": (
        f"{HEADER}1,F,X,12\n".replace(",", ";") + "2;F;X;1,5\n",
        r"customers\.csv is separated by semicolons; line 3 has '1,5' as tenure_months: write .* point .*\.",
    ),
    "thousands between semicolons": (
        f"{HEADER}1,F,X,1.234\n".replace(",", ";"),
        r"customers\.csv is separated by semicolons; line 2 has '1\.234' as tenure_months: .* thousands\.",
    ),
    "decimal comma between tabs": (
        f"{HEADER}1,F,X,".replace(",", "\t") + "1.234,50\n",
        r"customers\.csv is separated by tabs; line 2 has '1\.234,50' as tenure_months: .*\.",
    ),
    "quote never closed in the header": (
        f'"{CUSTOMERS}',
        r"customers\.csv has an unreadable header in line 1: unexpected end of data\.",
    ),
    "gzip cut off": (gzip.compress(CUSTOMERS.encode())[:-9], r"customers\.csv is a damaged gzip file: .*\."),
    "old Excel": (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512),
        r"customers\.csv is an old \(\.xls\) or encrypted Excel file; save it as plain \.xlsx or CSV\.",
    ),
    "xlsx cut off": (workbook()[:-600], r"customers\.csv is not a readable XLSX workbook: .*\."),
    "zip cut off": (b"PK\x03\x04 and nothing more", r"customers\.csv is not a readable XLSX workbook: .*\."),
    "another zip": (zipped("customers.csv"), r"customers\.csv is a zip archive; unpack it and deliver .*\."),
    "OpenDocument": (
        zipped("mimetype", "content.xml"),
        r"customers\.csv is an OpenDocument file; save it as \.xlsx or CSV\.",
    ),
    "binary workbook": (
        zipped("[Content_Types].xml", "xl/workbook.bin"),
        r"customers\.csv is a binary workbook \(\.xlsb\); save it as plain \.xlsx or CSV\.",
    ),
    "tar": (tarred(), r"customers\.csv is a tar archive; unpack it and deliver the file that it holds\."),
    "tar in gzip": (gzip.compress(tarred()), r"customers\.csv is a tar archive; unpack it .*\."),
    "7z": (b"7z\xbc\xaf\x27\x1c" + bytes(26), r"customers\.csv is a 7z archive; unpack it and .*\."),
    "bzip2": (bz2.compress(CUSTOMERS.encode()), r"customers\.csv is a bzip2 file; unpack it, or .* gzip\."),
    "xz": (
        lzma.compress(CUSTOMERS.encode()),
        r"customers\.csv is an xz file; unpack it, or pack it with gzip\.",
    ),
    "Parquet": (
        b"PAR1" + bytes(20) + b"PAR1",
        r"customers\.csv is a Parquet file; deliver it as CSV or \.xlsx\.",
    ),
}


@pytest.mark.parametrize(("content", "message"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_named_with_its_folder_and_changes_nothing(
    shop: Shop, content: str | bytes, message: str
) -> None:
    shop.deliver("customers.csv")
    shop.ingest()
    before = shop.state()
    shop.deliver("customers.csv", content)

    with pytest.raises(IngestionError, match=rf"\A{message} It lies in \S+\.\Z") as error:
        shop.ingest()

    assert len(str(error.value)) < 300
    assert shop.state() == before


@pytest.mark.parametrize(
    "make", [workbook, lambda: gzip.compress(CUSTOMERS.encode() * 50)], ids=["xlsx", "gzip"]
)
def test_a_damaged_file_either_loads_or_says_so(shop: Shop, make: Callable[[], bytes]) -> None:
    """Bytes that were changed on the way never end in another error than ours."""
    rng = random.Random(7)
    good = make()
    for number in range(60):
        damaged = bytearray(good)
        for _ in range(3):
            damaged[rng.randrange(8, len(good))] = rng.randrange(256)
        shop.deliver(f"customers_{number}.csv", bytes(damaged))
        message = shop.complaint()
        assert message is None or message.startswith(f"customers_{number}.csv ")
        assert "\n" not in (message or "")
        (shop.folder / f"customers_{number}.csv").unlink()


def test_no_file_for_a_data_set_says_what_name_is_expected(shop: Shop) -> None:
    shop.deliver("Tax_amount.csv")

    with pytest.raises(
        IngestionError, match=r"^No file for customers in .*inbox: .* like CustomersData\.csv\.$"
    ):
        shop.ingest()


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("", "No source folder is set"),
        ("/no/such/folder", "Source folder /no/such/folder does not exist."),
        (__file__, "Source folder .*test_bad_input.py does not exist."),
        ("gopher://bucket/path", "Source gopher://bucket/path cannot be opened: "),
    ],
)
def test_a_wrong_location_is_named(shop: Shop, location: str, message: str) -> None:
    with pytest.raises(IngestionError, match=f"^{message}"):
        ingest(shop.warehouse, location, "customers")


def test_a_bad_part_leaves_the_others_as_they_were(shop: Shop, tmp_path: Path) -> None:
    shop.deliver("customers_1.csv", f"{HEADER}1,F,Chicago,12\n")
    shop.deliver("customers_2.csv", f"{HEADER}2,M,Boston,3\n")
    shop.ingest()
    shop.deliver("customers_2.csv", f"{HEADER}2,M\n")

    with pytest.raises(IngestionError, match=r"^customers_2\.csv "):
        shop.ingest()

    assert [row[0] for row in shop.raw()] == ["1", "2"]
