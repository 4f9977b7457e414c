"""Files that lie in an object store load as those in a folder do, and its troubles end in a sentence.

The store speaks S3's protocol; Airflow reaches it by a connection, as in production.
"""

import gzip
from collections.abc import Callable, Iterator
from io import BytesIO

import pytest
from openpyxl import Workbook

from include.ingestion.datasets import DATASETS
from include.ingestion.errors import IngestionError, SourceUnavailableError
from include.ingestion.loader import ingest
from include.settings import get_settings
from tests.ingestion.conftest import CUSTOMERS, HEADER, Shop
from tests.object_store import ObjectStore, running_store

SALES = (
    "CustomerID,Transaction_ID,Transaction_Date,Product_SKU,Product_Description,Product_Category,"
    "Quantity,Avg_Price,Delivery_Charges,Coupon_Status\n1,2,1/1/2019,A,B,Nest,1,2,3,Used\n"
)
CHANGED = "CustomersData.csv changed while it was read; nothing of it was loaded."
GONE = "CustomersData.csv vanished while it was read; nothing of it was loaded."


@pytest.fixture(scope="module")
def server() -> Iterator[ObjectStore]:
    with running_store() as store:
        yield store


@pytest.fixture
def store(server: ObjectStore, request: pytest.FixtureRequest) -> ObjectStore:
    """Return the store with a customers file in the test's own folder, and no request so far."""
    server.put(f"{request.node.name}/CustomersData.csv", CUSTOMERS)
    server.requests.clear()
    server.fault = None
    return server


@pytest.fixture
def folder(store: ObjectStore, request: pytest.FixtureRequest) -> str:
    return str(request.node.name)


@pytest.fixture
def be_impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Return a function after which no answer is waited for longer than half a second."""

    def shorten() -> None:
        monkeypatch.setenv("SOURCE_TIMEOUT_SECONDS", "0.5")
        get_settings.cache_clear()

    yield shorten
    monkeypatch.undo()
    get_settings.cache_clear()


def tax_workbook() -> bytes:
    book = Workbook()
    for row in (["Product_Category", "GST"], ["Nest", 0.1]):
        book.worksheets[0].append(row)
    book.worksheets[0]["B2"].number_format = "0%"
    content = BytesIO()
    book.save(content)
    return content.getvalue()


def test_all_five_data_sets_load_once(shop: Shop, store: ObjectStore, folder: str) -> None:
    store.put(f"{folder}/Online_Sales.csv.gz", gzip.compress(SALES.encode()))
    store.put(f"{folder}/Marketing_Spend.csv", "Date,Offline_Spend,Online_Spend\n1/1/2019,1,2\n")
    store.put(
        f"{folder}/Discount Coupon #1.csv", "Month;Product_Category;Coupon_Code;Discount_pct\nJan;Nest;A;10\n"
    )
    store.put(f"{folder}/Tax_amount.xlsx", tax_workbook())
    store.put(f"{folder}/_SUCCESS", b"")
    store.put(f"{folder}/", b"")  # as consoles make a folder

    first, again = ([ingest(shop.warehouse, store.uri(folder), name) for name in DATASETS] for _ in range(2))

    assert [[(result.rows, result.loaded) for result in results] for results in first] == [
        [(2, True)], [(1, True)], [(1, True)], [(1, True)], [(1, True)], []
    ]  # fmt: skip
    assert [result.loaded for results in again for result in results] == [False] * 5
    assert shop.raw("tax_amount") == [("Nest", "10%")]
    assert shop.raw("discount_coupon") == [("Jan", "Nest", "A", "10")]
    uris = shop.query("select source_uri from raw.ingestion_ledger where dataset = 'customers'")
    assert uris == [(f"{store.uri(folder)}/CustomersData.csv",)]


def test_a_changed_object_replaces_its_rows(shop: Shop, store: ObjectStore, folder: str) -> None:
    ingest(shop.warehouse, store.uri(folder), "customers")
    store.put(f"{folder}/CustomersData.csv", f"{HEADER}9,F,Boston,1\n")

    [result] = ingest(shop.warehouse, store.uri(folder), "customers")

    assert result.loaded
    assert shop.raw() == [("9", "F", "Boston", "1")]


def test_a_listing_of_a_thousand_objects_takes_few_requests(
    shop: Shop, store: ObjectStore, folder: str
) -> None:
    for number in range(1_200):
        store.put(f"{folder}/reports/{number}.csv" if number % 2 else f"{folder}/other/{number}.csv.md5", b"")
        store.put(f"{folder}/CustomersData.csv.{number}.sha256", b"")
    store.put(f"{folder}/customers_zz.csv", CUSTOMERS)  # listed last

    with pytest.raises(IngestionError, match=r"^customers_zz\.csv looks like a part of customers"):
        ingest(shop.warehouse, store.uri(folder), "customers")
    store.delete(f"{folder}/customers_zz.csv")
    store.requests.clear()
    [result] = ingest(shop.warehouse, store.uri(folder), "customers")

    assert result.rows == 2
    assert len(store.requests) < 20
    left_out = shop.query(
        "select source_file from raw.ingestion_ledger where left_out is not null order by 1"
    )
    assert left_out == [("other",), ("reports",)]


def replace(store: ObjectStore, key: str) -> None:
    store.put(key, CUSTOMERS.replace("Chicago", "Houston"))  # of the same size


def remove(store: ObjectStore, key: str) -> None:
    store.delete(key)


@pytest.mark.parametrize(("change", "message"), [(replace, CHANGED), (remove, GONE)])
def test_an_object_that_changes_while_it_is_read_leaves_the_old_rows(
    shop: Shop,
    store: ObjectStore,
    folder: str,
    change: Callable[[ObjectStore, str], None],
    message: str,
) -> None:
    key = f"{folder}/CustomersData.csv"
    ingest(shop.warehouse, store.uri(folder), "customers")
    before = shop.state()
    store.put(key, f"{HEADER}3,F,Denver,1\n")
    store.after_reading("CustomersData.csv", lambda: change(store, key))

    with pytest.raises(IngestionError) as error:
        ingest(shop.warehouse, store.uri(folder), "customers")

    assert str(error.value).startswith(message)
    assert shop.state() == before


def test_an_object_that_may_not_be_read_is_named(shop: Shop, store: ObjectStore, folder: str) -> None:
    store.deny("GET", "HEAD", key="CustomersData.csv")

    said = r"CustomersData\.csv may not be read: [^\n]*[^.\n]\. It lies in \S+\."
    with pytest.raises(IngestionError, match=rf"\A{said}\Z"):
        ingest(shop.warehouse, store.uri(folder), "customers")


def test_a_folder_that_may_not_be_listed_is_named(shop: Shop, store: ObjectStore, folder: str) -> None:
    store.deny("GET", "HEAD")

    with pytest.raises(
        IngestionError, match=rf"\ASource folder {store.uri(folder)} may not be read: Access Denied\.\Z"
    ):
        ingest(shop.warehouse, store.uri(folder), "customers")


@pytest.mark.parametrize("path", ["no-such-folder", "no-such-folder/deeper"])
def test_a_folder_without_an_object_does_not_exist(shop: Shop, store: ObjectStore, path: str) -> None:
    with pytest.raises(IngestionError, match=rf"\ASource folder {store.uri(path)} does not exist\.\Z"):
        ingest(shop.warehouse, store.uri(path), "customers")


def test_a_bucket_that_does_not_exist_is_named(shop: Shop, store: ObjectStore) -> None:
    location = f"s3://{store.connection}@no-such-bucket/in"

    with pytest.raises(IngestionError, match=rf"\ASource folder {location} does not exist\.\Z"):
        ingest(shop.warehouse, location, "customers")


LATE = r"did not come within 0\.5 s \(SOURCE_TIMEOUT_SECONDS\); nothing of it was loaded\.\Z"


def test_a_listing_that_does_not_come_ends_in_a_sentence(
    shop: Shop, store: ObjectStore, folder: str, be_impatient: Callable[[], None]
) -> None:
    location = store.uri(folder)
    be_impatient()

    with store.silent(), pytest.raises(SourceUnavailableError, match=rf"\ASource folder {location} {LATE}"):
        ingest(shop.warehouse, location, "customers")


def test_an_object_that_does_not_come_ends_in_a_sentence(
    shop: Shop, store: ObjectStore, folder: str, be_impatient: Callable[[], None]
) -> None:
    """The store still answers what is asked of the object first: its size and tag."""
    with (
        store.silent("CustomersData.csv", but_first=be_impatient),
        pytest.raises(SourceUnavailableError, match=rf"\ACustomersData\.csv {LATE}"),
    ):
        ingest(shop.warehouse, store.uri(folder), "customers")


def test_a_store_that_is_not_there_ends_in_a_sentence_without_the_key(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_NOT_THERE",
        '{"conn_type": "aws", "login": "a", "password": "secret-key", "extra": {"region_name": "us-east-1",'
        ' "endpoint_url": "http://127.0.0.1:9", "config_kwargs": {"retries": {"max_attempts": 1}}}}',
    )

    with pytest.raises(SourceUnavailableError) as error:
        ingest(shop.warehouse, "s3://not_there@bucket/in", "customers")

    assert str(error.value).startswith("Source folder s3://not_there@bucket/in cannot be read: ")
    assert "secret-key" not in str(error.value)
    assert "\n" not in str(error.value)
