"""Whatever the shop delivers, the raw table holds its text as it stands in the file."""

import csv
import gzip
import io
import random
import re
from typing import Any

import fsspec  # type: ignore[import-untyped]
import pytest
from airflow.sdk.io import attach

from include.ingestion.loader import ingest
from include.settings import PROJECT_ROOT
from tests.ingestion.conftest import CUSTOMERS, HEADER, TWO_ROWS, Shop, WriteXlsx

OTHER_SHOPS = PROJECT_ROOT.parent / "shared" / "cases"
QUOTED = re.sub(r"[^,\n]+", r'"\g<0>"', CUSTOMERS)
EXPECTED = [("1", "F", "Chicago", "12"), ("2", "M", "California", "3")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("CustomersData.csv", CUSTOMERS.encode(), id="LF"),
        pytest.param("CustomersData.csv", CUSTOMERS.replace("\n", "\r\n").encode(), id="CRLF"),
        pytest.param("CustomersData.csv", CUSTOMERS.rstrip().encode(), id="no line end at the end"),
        pytest.param("CustomersData.csv", CUSTOMERS.encode("utf-8-sig"), id="BOM"),
        pytest.param("CustomersData.csv.gz", gzip.compress(CUSTOMERS.encode()), id="gzip"),
        pytest.param("CustomersData.csv", gzip.compress(CUSTOMERS.encode()), id="gzip named .csv"),
        pytest.param("CustomersData.csv.gz", CUSTOMERS.encode(), id="CSV named .csv.gz"),
        pytest.param("CustomersData.csv", f"{CUSTOMERS}\n\n".encode(), id="blank lines at the end"),
        pytest.param("CustomersData.csv", f"{CUSTOMERS}\n  \n,,,\n".encode(), id="blank rows at the end"),
        pytest.param("CustomersData.csv", f"\n,,,\n{CUSTOMERS}".encode(), id="blank rows at the start"),
        pytest.param("CustomersData.csv", CUSTOMERS.replace("\n", "\r").encode(), id="CR"),
        pytest.param("CustomersData.csv", CUSTOMERS.replace("\n", "\r\n", 1).encode(), id="CRLF, then LF"),
        pytest.param("CustomersData.csv", CUSTOMERS.replace("\n", "\r\n").encode()[:-1], id="CRLF, then CR"),
        pytest.param(
            "CustomersData.csv", (HEADER + TWO_ROWS.replace("\n", ",,\n")).encode(), id="commas more"
        ),
        pytest.param("CustomersData.tsv", CUSTOMERS.replace(",", "\t").encode(), id="tabs"),
        pytest.param("CustomersData.csv", CUSTOMERS.replace(",", ";").encode("utf-8-sig"), id="semicolons"),
        pytest.param("CustomersData.txt", CUSTOMERS.replace(",", "|").encode(), id="vertical bars"),
        pytest.param("CustomersData.csv", QUOTED.replace(",", "\t").encode(), id="tabs and quotes"),
        pytest.param(
            "CustomersData.txt", CUSTOMERS.replace(",", "\t").encode("utf-16"), id="Excel's Unicode text"
        ),
        pytest.param(
            "CustomersData.csv", b"\xfe\xff" + CUSTOMERS.encode("utf-16-be"), id="UTF-16, big end first"
        ),
        pytest.param("CustomersData.csv", CUSTOMERS.encode("utf-32"), id="UTF-32"),
        pytest.param("CustomersData.csv.gz", gzip.compress(CUSTOMERS.encode("utf-16")), id="UTF-16 in gzip"),
        pytest.param(
            "CustomersData.csv.gz",
            gzip.compress(HEADER.encode()) + gzip.compress(TWO_ROWS.encode()),
            id="gzip in two members",
        ),
    ],
)
def test_each_kind_of_csv_loads_the_same_rows(shop: Shop, name: str, content: bytes) -> None:
    shop.deliver(name, content)

    [result] = shop.ingest()

    assert (result.rows, result.loaded) == (2, True)
    assert shop.raw() == EXPECTED


@pytest.mark.parametrize("name", ["CustomersData.xlsx", "CustomersData.csv"])
def test_a_workbook_loads_whatever_its_file_is_called(shop: Shop, write_xlsx: WriteXlsx, name: str) -> None:
    write_xlsx(name, [["CustomerID", "Gender", "Location", "Tenure_Months"], [1, "F", "Chicago", 12]])

    shop.ingest()

    assert shop.raw() == [("1", "F", "Chicago", "12")]


def test_rates_and_dates_keep_their_notation_in_raw(shop: Shop) -> None:
    shop.deliver("Tax_amount.csv", "Product_Category,GST\nNest,10%\nOffice,0.1\n")
    shop.deliver(
        "Marketing_Spend.csv",
        "Date,Offline_Spend,Online_Spend\n1/31/2019,1,2\n20190201,1,2\n2019-02-02,1,2\n",
    )

    shop.ingest("tax_amount")
    shop.ingest("marketing_spend")

    assert shop.raw("tax_amount") == [("Nest", "10%"), ("Office", "0.1")]
    assert [row[0] for row in shop.raw("marketing_spend")] == ["1/31/2019", "20190201", "2019-02-02"]


def test_quotes_protect_commas_quotes_and_line_breaks(shop: Shop) -> None:
    shop.deliver(
        "customers.csv", HEADER + '1,F,"Chicago, IL",12\n2,M,"5"" disk\nnext line",3\n3,F,5" disk,1\n'
    )

    shop.ingest()

    assert [row[2] for row in shop.raw()] == ["Chicago, IL", '5" disk\nnext line', '5" disk']


@pytest.mark.parametrize(
    "header",
    [
        '" tenure months ",LOCATION,customerid ,Gender.',
        "TenureMonths,Location,Customer ID,Gender",
        "tenure-months,location,customer_id,GENDER",
        "\ufeffTenure__Months,loca tion,CUSTOMER-ID,gender\u00a0",
        '"Tenure\nMonths",Location,"Customer\r\nID",Gender',
    ],
)
def test_header_case_blanks_punctuation_and_order_do_not_count(shop: Shop, header: str) -> None:
    shop.deliver("customers.csv", f"{header}\n12,Chicago,1,F\n")

    shop.ingest()

    assert shop.raw() == [("1", "F", "Chicago", "12")]


def test_blank_rows_are_no_rows_and_the_others_keep_their_numbers(shop: Shop, write_xlsx: WriteXlsx) -> None:
    shop.deliver("customers_1.csv", f"{HEADER}1,F,Chicago,12\n,,,\n\n   \n5,M,,3\n , ,\t,\n")
    shop.deliver("customers_2.csv", f'{HEADER}1,F,Chicago,12\n"","",,""\n3,M,"A\n\nB",3\n4,F,,3\n')
    rows: list[list[Any]] = [[1, "F", "Chicago"], [], [None, " "], [4, "M", None, 3], [None]]
    write_xlsx("customers_3.xlsx", [[], ["CustomerID", "Gender", "Location", "Tenure_Months", None], *rows])

    results = shop.ingest()

    assert [result.rows for result in results] == [2, 3, 2]
    numbers = "select _source_row from raw.customers where _source_row::varchar != customerid"
    assert shop.query(numbers) == []
    assert shop.query("select row_count from raw.ingestion_ledger order by part") == [(2,), (3,), (2,)]


@pytest.mark.slow
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_breaks_within_quotes_load_in_files_of_any_size(
    shop: Shop, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those that look like rows, wherever a block of what is read at a time ends."""
    monkeypatch.setattr("include.warehouse.duckdb.BLOCK_BYTES", 1 << 18)
    count = 50_000
    street = "Flat 12, Long Street 1234567"
    rows = (f'{n},F,"{street}\n9,M,{n},8",{n % 50}{end}' for n in range(1, count + 1))
    content = HEADER.replace("\n", end) + "".join(rows)
    assert len(content) > 8 << 18
    shop.deliver("customers.csv", content)

    [result] = shop.ingest()

    assert result.rows == count
    right = f"location = '{street}' || chr(10) || '9,M,' || customerid || ',8'"
    assert shop.query(
        f"select count(*) from raw.customers where {right} and _source_row = customerid::int"
    ) == [(count,)]


def test_text_between_tabs_stays_as_it_is(shop: Shop) -> None:
    shop.deliver(
        "customers.tsv", HEADER.replace(",", "\t") + '1\tF\tChicago, IL\t12\n2\tM\t5" x 3"\t3\n3\tF\t\t4\n'
    )

    shop.ingest()

    assert [row[2] for row in shop.raw()] == ["Chicago, IL", '5" x 3"', None]


def test_numbers_between_semicolons_load_where_they_have_a_point(shop: Shop) -> None:
    shop.deliver(
        "Marketing_Spend.csv", "Date;Offline_Spend;Online_Spend\n1/31/2019;4500;2424.5\n2/1/2019;0;1.25\n"
    )

    shop.ingest("marketing_spend")

    assert shop.raw("marketing_spend") == [("1/31/2019", "4500", "2424.5"), ("2/1/2019", "0", "1.25")]


@pytest.mark.parametrize(
    ("case", "dataset", "rows"),
    [
        ("04", "discount_coupon", 36),
        ("07", "online_sales", 120),
        ("25", "customers", 193_905),
        ("37", "customers", 60),
        ("39", "customers", 60),
        ("41", "customers", 60),
    ],
)
def test_files_that_went_wrong_elsewhere_load(shop: Shop, case: str, dataset: str, rows: int) -> None:
    """Inputs that people described in public, where this machine has them; their kinds are tested above."""
    if not OTHER_SHOPS.is_dir():
        pytest.skip("the cases are not on this machine")
    [shop.folder] = OTHER_SHOPS.glob(f"{case}-*/input")

    assert [result.rows for result in shop.ingest(dataset)] == [rows]


def test_unknown_columns_stay_out_with_a_warning_and_a_note(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    shop.deliver(
        "customers.csv", "CustomerID,Loyalty Card,Gender,Location,Tenure_Months,\n1,yes,F,Chicago,12,\n"
    )

    with caplog.at_level("WARNING"):
        shop.ingest()

    assert shop.raw() == [("1", "F", "Chicago", "12")]
    assert shop.query("select ignored_columns from raw.ingestion_ledger") == [("loyalty_card, unnamed_6",)]
    assert "customers.csv: columns that no model knows stay out: loyalty_card, unnamed_6" in caplog.text


@pytest.mark.parametrize(
    ("name", "dataset"),
    [
        ("CustomersData.csv", "customers"),
        ("customers.xlsx.csv", "customers"),
        ("CUSTOMER DATA.CSV", "customers"),
        ("Online_Sales.csv", "online_sales"),
        ("online sales.csv", "online_sales"),
        ("Marketing-Spend.csv", "marketing_spend"),
        ("Discount_Coupon.csv", "discount_coupon"),
        ("coupons.csv", "discount_coupon"),
        ("Tax amount.csv", "tax_amount"),
        ("GST.csv", "tax_amount"),
        ("customer contacts.csv", "customer_contacts"),
    ],
)
def test_the_known_names_of_a_file_are_found(shop: Shop, name: str, dataset: str) -> None:
    sources = {
        "customers": CUSTOMERS,
        "online_sales": "CustomerID,Transaction_ID,Transaction_Date,Product_SKU,Product_Description,"
        "Product_Category,Quantity,Avg_Price,Delivery_Charges,Coupon_Status\n1,2,1/1/2019,A,B,C,1,2,3,Used\n",
        "marketing_spend": "Date,Offline_Spend,Online_Spend\n1/1/2019,1,2\n",
        "discount_coupon": "Month,Product_Category ,Coupon_Code,Discount_pct\nJan,Nest,N10,10\n",
        "tax_amount": "Product_Category,GST\nNest,10%\n",
        "customer_contacts": "Customer ID,E-Mail,Phone,Consent\n1,a@example.org,+49 30 1,yes\n",
    }
    shop.deliver(name, sources[dataset])
    shop.deliver("README.csv", "nothing of the shop's")

    [result] = shop.ingest(dataset)

    assert (result.dataset, result.source_file, result.loaded) == (dataset, name, True)


def test_phone_numbers_are_text_in_whatever_file(shop: Shop, write_xlsx: WriteXlsx) -> None:
    header = ["customer_id", "email", "phone", "consent"]
    write_xlsx(
        "Customer_Contacts.xlsx",
        [header, [1, None, "0049 30 1", True], [2, None, "+4930123", False], [3, None, 4930123456789, None]],
    )
    shop.deliver("Customer_Contacts_2.csv", f"{','.join(header)}\n4,d@example.org,0012,yes\n")
    shop.deliver("Customer_Contacts_3.csv", f"{';'.join(header)}\n5;;030.123.456;Y\n")

    shop.ingest("customer_contacts")

    assert shop.raw("customer_contacts") == [
        ("1", None, "0049 30 1", "TRUE"),
        ("2", None, "+4930123", "FALSE"),
        ("3", None, "4930123456789", None),
        ("4", "d@example.org", "0012", "yes"),
        ("5", None, "030.123.456", "Y"),
    ]


def test_no_message_quotes_an_address(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    header, row = "customer_id,email,phone,consent\n", "1,ann@example.org,+4930,yes"
    shop.deliver("Customer_Contacts.csv", f"{header}{row},x\n")

    with caplog.at_level("DEBUG", "include.ingestion"):
        complaint = shop.complaint("customer_contacts")

    name = "Customer_Contacts.csv"
    assert complaint == f"{name} cannot be read as CSV: line 2: 5 column(s), the header has 4."
    assert f"{name} is read row by row: its reader refuses it" in caplog.text
    assert "ann@" not in caplog.text

    shop.deliver(name, f"{row}\n{row}\n")
    lacks = f"{name} lacks the column(s) customer_id, email, phone, consent; "
    assert shop.complaint("customer_contacts") == f"{lacks}its first row looks like data."
    shop.deliver(name, "id,mail\n1,x\n")
    assert shop.complaint("customer_contacts") == f"{lacks}it has id, mail."


@pytest.mark.parametrize("folder", ["with blank", "Süd%20#1", "[2019]*", "gender=F"])
def test_a_folder_may_have_any_name(shop: Shop, folder: str) -> None:
    shop.folder = shop.folder / folder
    shop.folder.mkdir()
    shop.deliver("customers.csv")

    shop.ingest()

    assert shop.raw() == EXPECTED


def test_folders_hidden_files_and_excels_lock_files_are_no_deliveries(shop: Shop) -> None:
    (shop.folder / "customers").mkdir()
    for name in ("~$customers.xlsx", ".customers.csv", "customers.csv"):
        shop.deliver(name)

    assert [result.source_file for result in shop.ingest()] == ["customers.csv"]


def test_an_object_store_serves_as_the_folder(shop: Shop) -> None:
    store = fsspec.filesystem("memory")
    attach("memory", fs=store)
    store.pipe("/bucket/in/CustomersData.csv", CUSTOMERS.encode())
    location = "memory://bucket/in"

    first, again = (ingest(shop.warehouse, location, "customers") for _ in range(2))

    assert [(result.rows, result.loaded) for result in first + again] == [(2, True), (2, False)]
    assert shop.raw() == EXPECTED
    [(uri,)] = shop.query("select source_uri from raw.ingestion_ledger")
    assert uri == f"{location}/CustomersData.csv"


def test_any_text_survives_the_way_from_csv_to_raw(shop: Shop) -> None:
    rng = random.Random(20190101)
    alphabet = [*"ab,\";'\t|\\ %\n\r", "\r\n", "é", "日", "😀", "\u2028", "NULL", "&quot;", "\ufeff"]
    values = ["".join(rng.choices(alphabet, k=rng.randrange(12))) for _ in range(3000)]
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(
        [[number, "F", value, 1] for number, value in enumerate(values)]
    )
    shop.deliver("customers.csv", HEADER + text.getvalue())

    shop.ingest()

    assert [row[2] for row in shop.raw()] == [value or None for value in values]


def test_source_row_numbers_the_rows_as_they_stand_in_the_file(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("include.warehouse.duckdb.BLOCK_BYTES", 1 << 18)
    count = 100_000  # of which a block holds some
    shop.deliver(
        "customers_1.csv", HEADER + "".join(f'{n},F,"Chicago, {n}",1\n' for n in range(1, count + 1))
    )
    shop.deliver("customers_2.csv", HEADER + TWO_ROWS)
    shop.ingest()
    shop.deliver("customers_1.csv", HEADER + "".join(f"{n},F,x,1\n" for n in range(1, count)))

    shop.ingest()

    wrong = shop.query("select count(*) from raw.customers where customerid != _source_row::varchar")
    assert wrong == [(0,)]
    per_file = (
        "select _source_file, count(*), min(_source_row), max(_source_row) from raw.customers group by 1"
    )
    assert sorted(shop.query(per_file)) == [
        ("customers_1.csv", count - 1, 1, count - 1),
        ("customers_2.csv", 2, 1, 2),
    ]
