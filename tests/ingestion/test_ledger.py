"""Each file is in the warehouse exactly once, in its newest version, whatever happens on the way."""

import dataclasses
import datetime as dt
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from include.ingestion.datasets import DATASETS
from include.ingestion.errors import IngestionError
from include.ingestion.quality import check_raw_tables
from include.settings import PROJECT_ROOT
from include.warehouse.duckdb import DuckDBSession
from tests.ingestion.conftest import CUSTOMERS, HEADER, Shop, WriteXlsx
from tests.warehouse.locks import locked

pytestmark = pytest.mark.slow  # files and processes: some seconds in all


def test_the_same_file_again_loads_nothing(shop: Shop) -> None:
    file = shop.deliver("customers.csv")
    shop.ingest()
    before = shop.state()
    file.touch()

    [result] = shop.ingest()

    assert (result.rows, result.loaded) == (2, False)
    assert shop.state() == before


def test_a_changed_file_replaces_its_own_rows_only(shop: Shop) -> None:
    shop.deliver("customers_2018.csv", f"{HEADER}7,F,Boston,1\n")
    shop.deliver("customers_2019.csv")
    shop.ingest()
    [kept, *_] = shop.query("select rowid, * from raw.customers where _source_file = 'customers_2018.csv'")
    shop.deliver("customers_2019.csv", f"{HEADER}2,M,Denver,4\n")

    results = shop.ingest()

    assert [(result.source_file, result.loaded) for result in results] == [
        ("customers_2018.csv", False),
        ("customers_2019.csv", True),
    ]
    assert shop.raw() == [("7", "F", "Boston", "1"), ("2", "M", "Denver", "4")]
    assert kept in shop.query("select rowid, * from raw.customers")


def test_a_file_may_go_back_to_an_earlier_version(shop: Shop) -> None:
    for content in (CUSTOMERS, f"{HEADER}9,F,Austin,1\n", CUSTOMERS):
        shop.deliver("customers.csv", content)
        assert shop.ingest()[0].loaded

    assert [row[0] for row in shop.raw()] == ["1", "2"]
    assert shop.query("select row_count from raw.ingestion_ledger order by loaded_at") == [(2,), (1,), (2,)]


def test_rows_and_ledger_tell_when_and_from_where_they_came(shop: Shop) -> None:
    file = shop.deliver("customers.csv")
    start = dt.datetime.now(dt.UTC)

    shop.ingest()

    [(loaded_at, load_id)] = shop.query("select distinct _loaded_at, _load_id from raw.customers")
    assert loaded_at.utcoffset() == dt.timedelta(0)
    assert start <= loaded_at <= dt.datetime.now(dt.UTC)
    entry = "select load_id, dataset, part, source_file, source_uri, row_count, ignored_columns, loaded_at"
    assert shop.query(f"{entry} from raw.ingestion_ledger") == [
        (load_id, "customers", "", "customers.csv", f"file://{file}", 2, "", loaded_at)
    ]


def test_two_files_that_claim_one_part_are_refused(shop: Shop) -> None:
    shop.deliver("customers.csv")
    shop.deliver("CustomersData.xlsx")

    with pytest.raises(
        IngestionError, match=r"claim to be customers: CustomersData.xlsx, customers.csv; keep one"
    ):
        shop.ingest()


def test_a_copy_under_another_name_is_refused(shop: Shop) -> None:
    shop.deliver("customers.csv")
    shop.deliver("customers (1).csv")

    with pytest.raises(
        IngestionError, match=r"^customers.csv and customers \(1\).csv hold the same; keep one"
    ):
        shop.ingest()

    assert shop.query("select count(*) from raw.customers") == [(2,)]


def test_a_renamed_file_keeps_its_rows(shop: Shop) -> None:
    file = shop.deliver("customers.csv")
    shop.ingest()
    file.rename(shop.folder / "customers_2018.csv")
    shop.deliver("customers_2019.csv", f"{HEADER}3,F,Boston,1\n")
    shop.ingest()
    shop.deliver("customers_2018.csv", f"{HEADER}1,F,Chicago,13\n")

    shop.ingest()

    assert shop.raw() == [("1", "F", "Chicago", "13"), ("3", "F", "Boston", "1")]


def test_files_that_change_their_names_in_turn_are_loaded_as_they_are_now_called(shop: Shop) -> None:
    shop.deliver("customers_1.csv", f"{HEADER}1,F,Boston,1\n")
    shop.deliver("customers_2.csv", f"{HEADER}2,F,Boston,1\n")
    shop.ingest()
    shop.deliver("customers_1.csv", f"{HEADER}2,F,Boston,1\n")
    shop.deliver("customers_2.csv", f"{HEADER}1,F,Boston,1\n")

    shop.ingest()

    assert [row[0] for row in shop.raw()] == ["2", "1"]


def replace_it(file: Path) -> None:
    other = file.with_suffix(".new")
    other.write_text(f"{HEADER}8,F,Boston,1\n")
    other.replace(file)


def cut_it_off(file: Path) -> None:
    file.write_text(f"{HEADER}8,F,")


def remove_it(file: Path) -> None:
    file.unlink()


@pytest.mark.parametrize(
    ("meddle", "message"),
    [
        (replace_it, "customers.csv changed while it was read; nothing of it was loaded."),
        (cut_it_off, "customers.csv changed while it was read; nothing of it was loaded."),
        (remove_it, "customers.csv vanished while it was read; nothing of it was loaded."),
    ],
)
def test_a_file_that_changes_while_it_is_read_leaves_the_old_rows(
    shop: Shop, caplog: pytest.LogCaptureFixture, meddle: Callable[[Path], None], message: str
) -> None:
    shop.deliver("customers.csv")
    shop.ingest()
    before = shop.state()
    file = shop.deliver("customers.csv", f"{HEADER}3,F,Denver,1\n")

    with ThreadPoolExecutor() as pool, caplog.at_level("INFO", logger="include.warehouse"):
        with locked(shop.warehouse.path):  # while it waits, the file has been opened but not yet loaded
            attempt = pool.submit(shop.ingest)
            while "Waiting for the file" not in caplog.text:
                time.sleep(0.01)
            meddle(file)
        with pytest.raises(IngestionError) as error:
            attempt.result()

    assert str(error.value).startswith(message)
    assert shop.state() == before


@pytest.mark.slow
def test_a_load_that_is_killed_leaves_the_old_rows_and_works_the_next_time(shop: Shop) -> None:
    shop.deliver("customers.csv")
    shop.ingest()
    before = shop.state()
    count = 1_500_000
    shop.deliver("customers.csv", HEADER + "".join(f"{n},F,Chicago number {n * 7},1\n" for n in range(count)))

    kill_while_it_writes(shop)

    assert shop.state() == before
    assert shop.ingest()[0].rows == count
    assert shop.query("select count(*), max(_source_row) from raw.customers") == [(count, count)]


def kill_while_it_writes(shop: Shop) -> None:
    """Load the folder in another process and kill it when the rows begin to reach the disk."""
    code = (
        "import sys; from pathlib import Path; from include.ingestion.loader import ingest;"
        " from include.warehouse.duckdb import DuckDBWarehouse;"
        " ingest(DuckDBWarehouse(Path(sys.argv[1])), sys.argv[2], 'customers')"
    )
    path = shop.warehouse.path

    def written() -> int:
        return sum(file.stat().st_size for file in path.parent.iterdir())

    size = written()
    with subprocess.Popen([sys.executable, "-c", code, path, shop.folder], cwd=PROJECT_ROOT) as child:
        while written() < size + 1_000_000:
            assert child.poll() is None, "the load ended before it could be killed"
            time.sleep(0.002)
        child.kill()
    assert child.returncode == -9


def test_the_quality_gate_counts_the_rows_of_complete_raw_tables(shop: Shop) -> None:
    with pytest.raises(IngestionError, match=r"^No file of customers was ever loaded into raw.customers.$"):
        check_raw_tables(shop.warehouse)
    shop.deliver("customers.csv")
    shop.ingest()
    with pytest.raises(IngestionError, match=r"^No file of online_sales was ever loaded"):
        check_raw_tables(shop.warehouse)
    deliver_the_others(shop)

    assert check_raw_tables(shop.warehouse) == {
        "customers": 2,
        "online_sales": 1,
        "marketing_spend": 1,
        "discount_coupon": 1,
        "tax_amount": 1,
        "customer_contacts": 0,
    }

    shop.query("delete from raw.customers where customerid = '1'")
    with pytest.raises(IngestionError, match=r"^raw.customers holds 1 rows, its ledger says 2.$"):
        check_raw_tables(shop.warehouse)


def test_the_quality_gate_names_what_has_not_been_loaded_for_long(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    shop.deliver("customers.csv")
    shop.ingest()
    deliver_the_others(shop)
    shop.query(
        "update raw.ingestion_ledger set loaded_at = loaded_at - interval 8 days where dataset = 'tax_amount'"
    )

    with caplog.at_level("WARNING"):
        check_raw_tables(shop.warehouse)

    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "raw.tax_amount: nothing new was loaded for 8 days, more than the 7 of its source's warn_after."
    ]


def test_contacts_may_be_missing_at_first_and_later(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    shop.deliver("customers.csv")
    shop.ingest()
    deliver_the_others(shop)

    assert shop.ingest("customer_contacts") == []
    assert shop.raw("customer_contacts") == []

    contacts = "customer_id,email,phone,consent\n1,ann@example.org,0049301,yes\n2,bob@example.org,,\n"
    file = shop.deliver("Customer_Contacts.csv", contacts)
    assert [(result.rows, result.loaded) for result in shop.ingest("customer_contacts")] == [(2, True)]
    assert [(result.rows, result.loaded) for result in shop.ingest("customer_contacts")] == [(2, False)]
    loaded = shop.raw("customer_contacts")
    assert loaded == [("1", "ann@example.org", "0049301", "yes"), ("2", "bob@example.org", None, None)]

    file.unlink()
    assert shop.ingest("customer_contacts") == []
    assert f"customer_contacts: no file in {shop.folder}; its 2 rows stay as they were." in caplog.text
    assert shop.raw("customer_contacts") == loaded
    assert check_raw_tables(shop.warehouse)["customer_contacts"] == 2

    shop.query("delete from raw.customer_contacts where customer_id = '1'")
    with pytest.raises(IngestionError, match=r"^raw.customer_contacts holds 1 rows, its ledger says 2.$"):
        check_raw_tables(shop.warehouse)


def deliver_the_others(shop: Shop) -> None:
    """Load one row of each data set but customers."""
    shop.deliver(
        "Online_Sales.csv",
        "CustomerID,Transaction_ID,Transaction_Date,Product_SKU,Product_Description,Product_Category,"
        "Quantity,Avg_Price,Delivery_Charges,Coupon_Status\n1,2,1/1/2019,A,B,Nest,1,2,3,Used\n",
    )
    shop.deliver("Marketing_Spend.csv", "Date,Offline_Spend,Online_Spend\n1/1/2019,1,2\n")
    shop.deliver("Discount_Coupon.csv", "Month,Product_Category ,Coupon_Code,Discount_pct\nJan,Nest,N10,10\n")
    shop.deliver("Tax_amount.csv", "Product_Category,GST\nNest,10%\n")
    for dataset in ("online_sales", "marketing_spend", "discount_coupon", "tax_amount"):
        shop.ingest(dataset)


def test_a_data_set_that_gets_a_column_keeps_its_rows(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after an upgrade, or when a new column of the shop's file is to be kept."""
    shop.deliver("CustomersData.csv")
    shop.ingest()
    customers = DATASETS["customers"]
    monkeypatch.setitem(
        DATASETS, "customers", dataclasses.replace(customers, columns=(*customers.columns, "email"))
    )
    (shop.folder / "CustomersData.csv").unlink()
    shop.deliver("CustomersData_2.csv", f"{HEADER.rstrip()},Email\n9,F,Chicago,1,a@b.org\n")

    shop.ingest()

    assert shop.query("select customerid, email from raw.customers order by 1") == [
        ("1", None),
        ("2", None),
        ("9", "a@b.org"),
    ]


@pytest.mark.parametrize(
    "damage",
    [
        "delete from raw.customers where customerid = '1'",
        "insert into raw.customers select * from raw.customers",
        "update raw.customers set _load_id = 'unknown' where customerid = '1'",
        "update raw.customers set _load_id = null",
        # What two runs at once left behind before the ledger stopped them.
        "insert into raw.ingestion_ledger select * replace ('twice' as load_id, loaded_at - interval 1 second"
        " as loaded_at) from raw.ingestion_ledger;"
        " insert into raw.customers select * replace ('twice' as _load_id) from raw.customers",
    ],
)
def test_rows_that_differ_from_the_ledger_are_loaded_again(shop: Shop, damage: str) -> None:
    shop.deliver("customers_1.csv")
    shop.ingest()
    shop.query(damage)
    shop.deliver("customers_2.csv", f"{HEADER}3,F,Boston,1\n")

    assert [result.loaded for result in shop.ingest()] == [True, True]

    assert shop.raw() == [
        ("1", "F", "Chicago", "12"),
        ("2", "M", "California", "3"),
        ("3", "F", "Boston", "1"),
    ]
    assert [result.loaded for result in shop.ingest()] == [False, False]


def test_a_version_that_another_run_has_moved_is_read_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Snowflake, where the update waits for the other run's commit and then finds another version."""
    shop.deliver("customers.csv")
    stale = [[(-1,)]]
    execute = DuckDBSession.execute

    def late(self: DuckDBSession, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return stale.pop() if stale and "max(version)" in sql else execute(self, sql, parameters)

    monkeypatch.setattr(DuckDBSession, "execute", late)

    assert [result.loaded for result in shop.ingest()] == [True]

    assert not stale
    assert shop.query("select version from raw.ingestion_versions") == [(1,)]


def test_optional_columns_are_kept_where_a_file_has_them(shop: Shop, write_xlsx: WriteXlsx) -> None:
    shop.deliver("Tax_amount.csv", "Product_Category,GST\nNest,10%\n")
    shop.deliver("Tax_amount_2.csv", "Valid From,Product_Category,GST\n7/1/2020,Nest,12%\n")
    write_xlsx("Tax_amount_3.xlsx", [["Product_Category", "GST", "Year"], ["Nest", "15%", 2021]])
    with shop.warehouse.session() as session:  # as an earlier release made it
        session.execute("create schema raw")
        session.execute("create table raw.tax_amount (product_category varchar, gst varchar)")

    shop.ingest("tax_amount")

    assert shop.query("select gst, year, valid_from from raw.tax_amount order by gst") == [
        ("10%", None, None),
        ("12%", None, "7/1/2020"),
        ("15%", "2021", None),
    ]
    assert shop.query("select distinct ignored_columns from raw.ingestion_ledger") == [("",)]
