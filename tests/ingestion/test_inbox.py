"""Nothing in the folder is left out in silence: loaded, a known companion, an error, or named."""

import gzip
from io import BytesIO

import pytest
from openpyxl import Workbook

from include.ingestion.errors import IngestionError
from include.ingestion.quality import check_raw_tables
from tests.ingestion.conftest import HEADER, Shop
from tests.ingestion.test_ledger import deliver_the_others

pytestmark = pytest.mark.slow  # files and processes: some seconds in all

LEFT_OUT = "select source_file, left_out from raw.ingestion_ledger where left_out is not null order by 1"

COMPANIONS = (
    *("customers.csv.md5", "customers.csv.sha256", "customers.csv.crc32", ".customers.csv.crc", "SHA256SUMS"),
    *("_SUCCESS", "_committed_12", "_started_12", "README", "Readme.md", "LICENSE.txt", "customers.csv.done"),
    *(".DS_Store", ".nfs0001", "Thumbs.db", "desktop.ini", "~$customers.xlsx", "customers.csv.asc"),
)

UPLOAD = "is an upload under way, or was left by one; finish it or remove the file."
ARCHIVE = "is an archive; unpack it and deliver the file that it holds."
UNKNOWN = "has an ending that is not known; deliver it as .csv, .csv.gz or .xlsx, or remove it."
NO_PART = (
    "looks like a part of customers but is not named like one; call it CustomersData_2.csv (any number),"
    " or remove it."
)
MAY_HOLD_DATA = {
    **dict.fromkeys(("customers.csv.part", "customers.csv.filepart", "Customers.CSV.tmp"), UPLOAD),
    **dict.fromkeys(("customers_2.csv.crdownload", "customers.xlsx.download", "customers.partial"), UPLOAD),
    **dict.fromkeys(("customers_H2.csv.part", "customers.zip.part"), UPLOAD),
    **dict.fromkeys(("customers.zip", "customers_2.tar.gz", "customers.tgz", "customers.csv.7z"), ARCHIVE),
    **dict.fromkeys(("customers_H2.zip", "customers.rar", "customers.csv.bz2"), ARCHIVE),
    **dict.fromkeys(("customers.parquet", "customers.json", "customers.xls", "customers.ods"), UNKNOWN),
    **dict.fromkeys(("customers.csv.bak", "customers.csv~", "customers.csv.1", "customers.docx"), UNKNOWN),
    **dict.fromkeys(("customers_H2.parquet",), UNKNOWN),
    **dict.fromkeys(
        ("customers-H2.csv", "Customers_H2.csv", "customers_january.csv.gz", "H2customers"), NO_PART
    ),
    **dict.fromkeys(
        ("Copy of Customers.csv", "2020_customers.xlsx", "customersb.csv", "Custmers.csv"), NO_PART
    ),
    **dict.fromkeys(("customer data (old).csv", "CustomersData.v2.csv"), NO_PART),
}
MAY_HOLD_DATA["CustomersData.v2.csv"] = UNKNOWN

OTHERS = {
    "notes.docx": "has a name that no data set knows",
    "returns.csv": "has a name that no data set knows",
    "Kingston.csv": "has a name that no data set knows",
    "Customer satisfaction.pdf": "has a name that no data set knows",
    "everything.zip": "is an archive; unpack it and deliver the file that it holds",
    "unknown.part": "is an upload under way, or was left by one; finish it or remove the file",
}


def saved(book: Workbook) -> bytes:
    content = BytesIO()
    book.save(content)
    return content.getvalue()


@pytest.mark.parametrize("name", COMPANIONS)
def test_a_known_companion_changes_nothing(shop: Shop, caplog: pytest.LogCaptureFixture, name: str) -> None:
    shop.deliver("customers.csv")
    shop.deliver(name, "what stands beside a file")

    with caplog.at_level("WARNING"):
        [result] = shop.ingest()

    assert result.source_file == "customers.csv"
    assert shop.query(LEFT_OUT) == []
    assert "left out" not in caplog.text


@pytest.mark.parametrize(("name", "message"), MAY_HOLD_DATA.items(), ids=MAY_HOLD_DATA)
def test_a_file_that_may_hold_rows_stops_its_data_set_and_no_other(
    shop: Shop, name: str, message: str
) -> None:
    shop.deliver("customers_1.csv")
    shop.deliver("Tax_amount.csv", "Product_Category,GST\nNest,10%\n")
    shop.deliver(name, f"{HEADER}3,F,Boston,1\n")

    assert shop.complaint() == f"{name} {message}"
    assert shop.complaint("tax_amount") is None


@pytest.mark.parametrize(
    ("name", "dataset"),
    [
        ("Online_Sales_H2.csv", "online_sales"),
        ("OnlineSalesH2.csv", "online_sales"),
        ("sales-2020-H1.csv", "online_sales"),
        ("Marketing_Spend_January.xlsx", "marketing_spend"),
        ("Discount_Coupon-2.1.csv", "discount_coupon"),
        ("Old Coupons.csv", "discount_coupon"),
        ("Tax_rates.csv", "tax_amount"),
        ("GST-new.csv", "tax_amount"),
        ("Customer contacts new.csv", "customer_contacts"),
    ],
)
def test_each_data_set_knows_what_looks_like_its_part(shop: Shop, name: str, dataset: str) -> None:
    shop.deliver(name, "a,b\n1,2\n")

    assert (shop.complaint(dataset) or "").startswith(f"{name} ")


def test_what_no_data_set_knows_is_named_in_log_and_ledger_once(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    shop.deliver("customers.csv")
    (shop.folder / "archive").mkdir()
    for name in OTHERS:
        shop.deliver(name, "something else")

    with caplog.at_level("WARNING"):
        shop.ingest()
    shop.ingest()

    expected = OTHERS | {"archive": "is a folder; deliver its files beside the others"}
    assert shop.query(LEFT_OUT) == sorted(expected.items())
    for name, reason in expected.items():
        assert f"{name}: left out: {reason}." in caplog.text
    uri = f"file://{shop.folder}/notes.docx"
    entry = "select dataset, part, row_count, checksum from raw.ingestion_ledger where source_uri = "
    assert shop.query(f"{entry} '{uri}'") == [(None, None, None, None)]


HOLDS_OURS = f"{HEADER}3,F,Boston,1\n"
WORKBOOK = Workbook()
WORKBOOK.worksheets[0].append([*HEADER.strip().split(","), "Note"])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("people.csv", HOLDS_OURS),
        ("Q4.txt", HOLDS_OURS.replace(",", ";")),
        ("people.tsv", ("\n" + HOLDS_OURS.replace(",", "\t")).encode("utf-16")),
        ("2020.csv.gz", gzip.compress(HOLDS_OURS.encode())),
        ("2020.xlsx", saved(WORKBOOK)),
    ],
)
def test_a_file_of_any_name_with_the_columns_stops_its_data_set(
    shop: Shop, name: str, content: str | bytes
) -> None:
    shop.deliver("customers.csv")
    shop.deliver(name, content)

    assert shop.complaint() == f"{name} {NO_PART}"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("products.csv", "SKU,Name,Product_Category,GST,Weight,Colour\n1,A,Nest,10%,1,red\n"),
        ("empty.csv", ""),
        ("broken.xlsx", b"PK\x03\x04 and nothing more"),
        ("broken.csv.gz", b"\x1f\x8b and nothing more"),
        ("picture.txt", bytes(range(256)) * 9),
    ],
)
def test_a_file_without_the_columns_stops_nothing(shop: Shop, name: str, content: str | bytes) -> None:
    shop.deliver("customers.csv")
    shop.deliver(name, content)

    shop.ingest()

    assert shop.query(LEFT_OUT) == [(name, "has a name that no data set knows")]


def test_what_is_left_out_does_not_count_as_loaded(shop: Shop) -> None:
    shop.deliver("returns.csv", "a\n1\n")
    shop.deliver("customers.csv")
    shop.ingest()
    deliver_the_others(shop)

    assert check_raw_tables(shop.warehouse)["customers"] == 2
    assert shop.query("select count(*) from raw.ingestion_ledger where left_out is not null") == [(1,)]


def test_a_folder_named_like_a_data_set_may_hold_its_rows(shop: Shop) -> None:
    folder = shop.folder / "customers_2.csv"  # as Spark writes a file
    folder.mkdir()
    (folder / "part-00000.csv").write_text(HEADER)
    shop.deliver("customers.csv")

    with pytest.raises(IngestionError, match=r"^customers_2\.csv is a folder; deliver its files beside"):
        shop.ingest()


def test_a_link_is_read_like_the_file_it_leads_to(shop: Shop) -> None:
    real = shop.deliver("customers.csv")
    elsewhere = real.rename(shop.folder.parent / "elsewhere.csv")
    (shop.folder / "customers.csv").symlink_to(elsewhere)

    assert [result.rows for result in shop.ingest()] == [2]


def test_a_link_to_nowhere_is_named(shop: Shop) -> None:
    shop.deliver("customers.csv")
    (shop.folder / "customers_2.csv").symlink_to(shop.folder / "gone.csv")

    with pytest.raises(IngestionError, match=r"^customers_2\.csv vanished while it was read"):
        shop.ingest()


def test_a_ledger_of_an_older_release_gets_the_new_column(shop: Shop) -> None:
    shop.deliver("customers.csv")
    shop.ingest()
    shop.query("alter table raw.ingestion_ledger drop column left_out")
    shop.deliver("returns.csv", "a\n1\n")

    [result] = shop.ingest()

    assert not result.loaded
    assert shop.query(LEFT_OUT) == [("returns.csv", "has a name that no data set knows")]
