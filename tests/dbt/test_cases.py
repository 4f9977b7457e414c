"""Odd values in the shop's files, of which each one gives the right figure, a rejected row or a sentence.

The shop is small and made up here; what its figures must be comes from tests/dbt/money.py. The oddities
follow problems that people described in public; several that are independent share one build.
"""

import datetime as dt
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from include.ingestion.errors import IngestionError
from tests.conftest import PROJECT_ROOT
from tests.dbt.dbt_project import WAREHOUSE, WITHOUT_TESTS, Outcome, Project, make_project, write
from tests.dbt.money import MONTHS, Amounts, Row, expected_lines, read

CASES = PROJECT_ROOT.parent / "shared" / "cases"
CATEGORIES = {"Candles": "10%", "Shelves": "18%", "Bowls": "5%"}
FACTS = ("+fct_orders", "+dim_customer", "+dim_products", "+dim_datetime", "+rejected_rows_by_rule")
TESTS = (
    *("test_name:rejected_share_within_limit", "test_name:rates_do_not_contradict", "test_name:no_warnings"),
    *("test_name:unknown_customers_within_limit", "test_name:valid_transaction_amount"),
    *("raw_rows_are_staged_or_quarantined", "unique_fct_sales_sales_line_id"),
)
CHECKED = ("--select", *FACTS, *TESTS, "--indirect-selection", "empty")
PREPARED = ("--exclude", "config.materialized:view", "resource_type:seed")
TOTALS = ", ".join(
    f"coalesce(sum({part}_amount), 0)"
    for part in ("gross_sales", "discount", "net_sales", "gst", "delivery", "total")
)


def customers() -> list[Row]:
    return [
        {"CustomerID": str(200 + n), "Gender": "FM"[n % 2], "Location": "Kyiv", "Tenure_Months": str(n)}
        for n in range(60)
    ]


def sales() -> list[Row]:
    """Return 120 lines in 60 orders of two different products, on 60 days of 2019."""
    return [
        {
            "CustomerID": str(200 + order),
            "Transaction_ID": str(7000 + order),
            "Transaction_Date": f"{order % 12 + 1}/{order % 28 + 1}/2019",
            "Product_SKU": f"P{2 * order + line}",
            "Product_Description": "Thing",
            "Product_Category": list(CATEGORIES)[(order + line) % 3],
            "Quantity": str(order % 4 + 1),
            "Avg_Price": f"{3 + order % 9}.{25 * (line + 1)}",
            "Delivery_Charges": "6.50",
            "Coupon_Status": ("Used", "Clicked", "Not Used")[order % 3],
        }
        for order in range(60)
        for line in range(2)
    ]


def coupons() -> list[Row]:
    return [
        {
            "Month": month,
            "Product_Category": category,
            "Coupon_Code": "C",
            "Discount_pct": str(10 * (n % 3 + 1)),
        }
        for n, month in enumerate(MONTHS)
        for category in CATEGORIES
    ]


def taxes() -> list[Row]:
    return [{"Product_Category": category, "GST": rate} for category, rate in CATEGORIES.items()]


def spend() -> list[Row]:
    first = dt.date(2019, 1, 1)
    days = [first + dt.timedelta(days=n) for n in range(365)]
    return [
        {"Date": f"{day.month}/{day.day}/{day.year}", "Offline_Spend": "100", "Online_Spend": "50.5"}
        for day in days
    ]


FILES: dict[str, Callable[[], list[Row]]] = {
    "CustomersData.csv": customers,
    "Online_Sales.csv": sales,
    "Discount_Coupon.csv": coupons,
    "Tax_amount.csv": taxes,
    "Marketing_Spend.csv": spend,
}


def day_first(text: str) -> str:
    month, day, year = text.split("/")
    return f"{day}/{month}/{year}"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A sound shop of 120 lines, built; tests work on copies of it."""
    project = make_project(tmp_path_factory.mktemp("sound"))
    project = replace(project, manifest=project.dbt_as_typed("parse").raw.result)
    write_sound_files(project.folder)
    project.ingest()
    done = project.dbt("build", *CHECKED)
    assert done.success, done.output
    return project


@pytest.fixture(scope="module")
def prepared(sound: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A warehouse with the project's views and seeds, but no file loaded and no facts."""
    project = sound.copy(tmp_path_factory.mktemp("prepared"))
    project.query("drop schema raw cascade")
    project.query("drop table analytics.fct_sales")
    project.query("checkpoint")
    return project


@pytest.fixture
def empty(prepared: Project, tmp_path: Path) -> Project:
    """A copy of the prepared warehouse."""
    shutil.copy(prepared.warehouse, tmp_path / WAREHOUSE)
    return replace(prepared, warehouse=tmp_path / WAREHOUSE)


@pytest.fixture
def shop(empty: Project, tmp_path: Path) -> Project:
    """The sound shop's files in a folder and a warehouse of its own, not loaded yet."""
    write_sound_files(tmp_path / "data")
    return replace(empty, folder=tmp_path / "data")


def write_sound_files(folder: Path) -> None:
    folder.mkdir()
    for name, rows in FILES.items():
        write(folder / name, rows())


def put(shop: Project, name: str, rows: Iterable[Row]) -> None:
    """Write one of the shop's files, with every column that a row has."""
    rows = list(rows)
    columns = dict.fromkeys(column for row in rows for column in row)
    write(shop.folder / name, [dict.fromkeys(columns, "") | row for row in rows])


def change(rows: list[Row], **changes: dict[str, str]) -> list[Row]:
    """Return the rows with those changed that `row_N` names, N from 1 as in quarantine."""
    numbered = {int(name.removeprefix("row_")): change for name, change in changes.items()}
    return [row | numbered.get(number, {}) for number, row in enumerate(rows, start=1)]


def built(shop: Project, *arguments: str, **variables: str) -> Outcome:
    """Load the folder and build the facts with the tests that stand before them."""
    shop.ingest()
    return shop.dbt("build", *(arguments or (*CHECKED, *PREPARED)), **variables)


def totals(shop: Project) -> Amounts:
    [amounts] = shop.query(f"select {TOTALS} from analytics.fct_sales")
    return Amounts(*amounts)


def summed(lines: Iterable[Amounts]) -> Amounts:
    return Amounts(*(sum(parts, Decimal(0)) for parts in zip(*lines, strict=True)))


def expected(folder: Path, lines: list[Row] | None = None) -> Amounts:
    """Return what the figures of the sound shop are, or of one with these lines, computed without dbt."""
    write_sound_files(folder)
    if lines is not None:
        write(folder / "Online_Sales.csv", lines)
    return summed(expected_lines(folder).values())


def rejected(shop: Project) -> dict[tuple[str, int], str]:
    rows = shop.query("select source_file, source_row, reject_reason from staging.quarantine")
    return {(file, row): reason for file, row, reason in rows}


def said(outcome: Outcome) -> str:
    """Return what dbt printed, on one line."""
    return " ".join(outcome.output.split())


def test_notations_that_mean_the_same_give_the_same_figures(shop: Project, tmp_path: Path) -> None:
    times = (
        *("", " 8:26", " 14:05:00", " 8:26 AM", " 12:59 pm"),
        *("T23:59", "  00:00", "T14:05:00Z", " 14:05:00.123+02:00"),
    )
    lines = sales()
    for number, line in enumerate(lines):
        month, day, year = line["Transaction_Date"].split("/")
        day_text = (line["Transaction_Date"], f"{year}-{month:0>2}-{day:0>2}", f"{year}{month:0>2}{day:0>2}")
        line["Transaction_Date"] = day_text[number % 3] + times[number % len(times)]
        line["Transaction_ID"] = f"{2020011500000000 + number // 2}{('', '.0')[number % 2]}"
        line["Product_Category"] = (str.upper, str.title, "  {}\t".format)[number % 3](
            line["Product_Category"]
        )
        line["Coupon_Status"] = (str.upper, str.lower, " {} ".format)[number % 3](line["Coupon_Status"])
        line["Quantity"] += ("", ".0", ".00")[number % 3]
        line["Avg_Price"] = ("{}", "+{}", " {}000 ")[number % 3].format(line["Avg_Price"])
    put(shop, "Online_Sales.csv", lines)
    put(
        shop,
        "Discount_Coupon.csv",
        (
            row
            | {
                "Month": (row["Month"], row["Month"].upper(), full.lower())[n % 3],
                "Product_Category": (str.upper, str.lower, "{} ".format)[n % 3](row["Product_Category"]),
                "Discount_pct": ("{}", "{}%", "{} %", "0.{}")[n % 4].format(row["Discount_pct"]),
            }
            for n, (row, full) in enumerate(zip(coupons(), each_month_thrice(), strict=True))
        ),
    )
    put(
        shop,
        "Tax_amount.csv",
        (row | {"GST": rate} for row, rate in zip(taxes(), ("0.1", "18 %", ".05"), strict=True)),
    )
    put(
        shop,
        "CustomersData.csv",
        change(
            customers(),
            row_1={"Gender": "Female", "Location": "N/A"},
            row_2={"Gender": " male", "Location": "NULL"},
            row_3={"Gender": "FEMALE", "Location": "-"},
            row_4={"Gender": "m\u00a0", "Location": "\\N"},
            row_5={"Gender": "F", "Location": "\tKyiv\u00a0"},
        ),
    )

    outcome = built(shop)

    assert outcome.success, outcome.output
    assert rejected(shop) == {}
    assert totals(shop) == expected(tmp_path / "sound")
    assert shop.query("select count(*), count(distinct transaction_id) from analytics.fct_sales") == [
        (120, 60)
    ]
    assert shop.query("select distinct product_name, category from staging.stg_online_sales order by 2") == [
        ("Thing", "Bowls"),
        ("Thing", "Candles"),
        ("Thing", "Shelves"),
    ]
    assert shop.query(
        "select gender, location from staging.stg_customers where customer_id < 205 order by customer_id"
    ) == [("F", None), ("M", None), ("F", None), ("M", None), ("F", "Kyiv")]


def each_month_thrice() -> list[str]:
    return [dt.date(2019, number, 1).strftime("%B") for number in range(1, 13) for _ in range(3)]


def test_a_value_that_could_be_misread_is_rejected_with_its_reason_and_worth(
    shop: Project, tmp_path: Path
) -> None:
    lines = change(
        sales(),
        row_1={"Quantity": "4006381333931"},
        row_3={"Transaction_ID": "5.23457E+11"},
        row_5={"Transaction_ID": "2019_0001"},
        row_7={"CustomerID": "5.2E+11"},
        row_9={"Avg_Price": "1E2"},
        row_11={"Avg_Price": "1,50"},
        row_13={"Transaction_Date": "1/2/19"},
        row_15={"Transaction_Date": "1.2.2019"},
        row_17={"Coupon_Status": "Maybe"},
        row_19={"Transaction_Date": "3/4/2019 25:00"},
        row_21={"Quantity": "1.000"},
        row_23={"Quantity": "-3", "Avg_Price": "20.5"},
    )
    put(shop, "Online_Sales.csv", lines)
    put(
        shop,
        "CustomersData.csv",
        change(customers(), row_41={"Gender": "X"}, row_42={"Tenure_Months": "99999999999999999999"}),
    )

    outcome = built(shop, max_rejected_share="0.2")

    assert outcome.success, outcome.output
    assert rejected(shop) == {
        ("Online_Sales.csv", 1): 'quantity "4006381333931" is above max_quantity = 1000000',
        ("Online_Sales.csv", 3): 'transaction_id "5.23457E+11" is not a whole number',
        ("Online_Sales.csv", 5): 'transaction_id "2019_0001" is not a whole number',
        ("Online_Sales.csv", 7): 'customerid "5.2E+11" is not a whole number',
        ("Online_Sales.csv", 9): 'avg_price "1E2" is not an amount up to max_price = 10000000',
        ("Online_Sales.csv", 11): 'avg_price "1,50" is not an amount up to max_price = 10000000',
        ("Online_Sales.csv", 13): 'transaction_date "1/2/19" is not a possible date',
        ("Online_Sales.csv", 15): 'transaction_date "1.2.2019" is not a possible date',
        ("Online_Sales.csv", 17): 'coupon_status "Maybe" is not Used, Clicked or Not Used',
        ("Online_Sales.csv", 19): 'transaction_date "3/4/2019 25:00" is not a possible date',
        ("Online_Sales.csv", 21): 'quantity "1.000" is not a positive whole number',
        ("Online_Sales.csv", 23): 'quantity "-3" is not a positive whole number',
        ("CustomersData.csv", 42): 'tenure_months "99999999999999999999" is not a number of months'
        " up to max_tenure_months = 1200",
    }
    valued = shop.query("select source_row, gross_amount from staging.quarantine")
    worth: dict[int, Decimal | None] = dict(valued)
    lost = expected(tmp_path / "lost", [sales()[row - 1] for row in (3, 5, 7, 13, 15, 17, 19)])
    assert {row for row, gross in worth.items() if gross is None} == {1, 9, 11, 21, 42}
    assert worth.pop(23) == Decimal("61.50")  # what comes back is money at risk, too
    assert sum(gross for gross in worth.values() if gross) == lost.gross
    assert shop.query(
        "select row_count, gross_amount, row_count_of_unknown_amount from staging.rejected_rows_by_rule"
        " where reject_rule = 'transaction_date is not a possible date'"
    ) == [(3, sum((worth[row] or Decimal(0) for row in (13, 15, 19)), Decimal(0)), 0)]
    kept = [row for number, row in enumerate(sales(), 1) if number not in range(1, 25, 2)]
    assert totals(shop) == expected(tmp_path / "kept", kept)
    assert 'CustomersData.csv, row 41: gender "X" is neither F nor M, so it counts as empty.' in said(outcome)
    assert shop.query("select gender from staging.stg_customers where customer_id = 240") == [(None,)]


def test_a_share_that_could_be_one_or_a_hundred_per_cent_is_refused(shop: Project) -> None:
    put(shop, "Tax_amount.csv", [{"Product_Category": "Candles", "GST": "1"}, *taxes()[1:]])
    put(
        shop,
        "Discount_Coupon.csv",
        change(coupons(), row_2={"Discount_pct": "1"}, row_3={"Discount_pct": "0.1%"}),
    )

    outcome = built(shop, max_rejected_share="0.5", max_rejected_coupon_share="0.5")

    assert outcome.success, outcome.output
    reasons = rejected(shop)
    assert reasons["Tax_amount.csv", 1] == 'gst "1" is not a rate like 10% or 0.1'
    assert reasons["Discount_Coupon.csv", 1] == 'product_category "Candles" has no tax rate'
    assert reasons["Discount_Coupon.csv", 2].startswith('discount_pct "1" is not a discount')
    assert reasons["Online_Sales.csv", 1] == 'product_category "Candles" has no tax rate: on 2019-01-01'
    [(share,)] = shop.query(
        "select discount_rate from staging.stg_discount_coupon where category = 'Bowls' and month_number = 1"
    )
    assert share == Decimal("0.001")
    assert shop.query("select count(*) from analytics.fct_sales") == [(80,)]


@pytest.mark.parametrize(
    ("name", "rows", "sentence"),
    [
        (
            "Discount_Coupon.csv",
            [row | {"Month": "Jan-Mar"} for row in coupons()],
            '"base_discount_coupon" are rejected, more than max_rejected_coupon_share = 0.1 allows;'
            ' for example month "Jan-Mar" is not a month like Jan or January',
        ),
        (
            "Tax_amount.csv",
            [*taxes(), {"Product_Category": " CANDLES", "GST": "12%"}],
            'Tax_amount.csv, row 1 {"product_category":"Candles","gst":"10%","year":null,"valid_from":null}'
            ' and Tax_amount.csv, row 4 {"product_category":" CANDLES","gst":"12%","year":null,'
            '"valid_from":null} contradict each other',
        ),
        (
            "Discount_Coupon.csv",
            [*coupons(), coupons()[0] | {"Month": "January", "Discount_pct": "11"}],
            "Discount_Coupon.csv, row 37",
        ),
        (
            "Online_Sales.csv",
            change(sales(), row_1={"Quantity": "900", "Transaction_Date": "13/13/2019"}),
            "1 of 120 rows of",
        ),
        (
            "Online_Sales.csv",
            [row | {"Transaction_Date": day_first(row["Transaction_Date"])} for row in sales()],
            'can be read in two ways: its file holds "13/1/2019"',
        ),
        (
            "CustomersData.csv",
            customers()[:-4],
            ": more than max_unknown_customer_share = 0.05 allows",
        ),
    ],
    ids=["months", "taxes", "coupons", "value", "day first", "customers"],
)
def test_what_makes_the_figures_doubtful_stops_before_the_facts(
    sound: Project, tmp_path: Path, name: str, rows: list[Row], sentence: str
) -> None:
    shop = sound.copy(tmp_path)
    before = shop.query("select * from analytics.fct_sales order by all")
    put(shop, name, rows)

    outcome = built(shop)

    assert not outcome.success
    assert outcome.states["fct_sales"] == "skipped"
    assert sentence in said(outcome)
    assert shop.query("select * from analytics.fct_sales order by all") == before


def test_one_large_order_is_a_warning_that_names_it(shop: Project, tmp_path: Path) -> None:
    lines = change(sales(), row_5={"Quantity": "5000", "Avg_Price": "4.20"})
    put(shop, "Online_Sales.csv", lines)

    outcome = built(shop)

    assert outcome.success, outcome.output
    sentence = "its gross amount of 21000.00 is above max_transaction_amount = 15000."
    assert f"Online_Sales.csv, row 5: {sentence}" in said(outcome)
    assert totals(shop) == expected(tmp_path / "expected", lines)
    assert {state for name, state in outcome.states.items() if "valid_transaction_amount" in name} == {
        "warn",
        "pass",
    }
    assert "max_transaction_amount" not in said(built(shop, max_transaction_amount="30000"))
    shop.query("update analytics.fct_sales set gross_sales_amount = -1 where product_sku = 'P0'")
    again = shop.dbt("test", "--select", "fct_sales,test_name:valid_transaction_amount")
    assert again.failed == {"valid_transaction_amount_fct_sales_gross_sales_amount"}


def test_rates_of_several_years_and_from_a_day_on_stand_side_by_side(shop: Project) -> None:
    day = {"Transaction_ID": "1", "Coupon_Status": "Used", "Quantity": "1", "Avg_Price": "100"}
    dates = ("1/10/2019", "1/20/2019", "1/10/2020", "1/10/2021", "2/10/2020", "7/1/2020", "12/31/2019")
    template = sales()[0] | day
    lines = [
        template | {"Transaction_ID": str(n), "Transaction_Date": date, "Product_SKU": f"D{n}"}
        for n, date in enumerate(dates)
    ]
    put(shop, "Online_Sales.csv", lines)
    coupon = coupons()[0]
    put(
        shop,
        "Discount_Coupon.csv",
        [
            coupon | {"Discount_pct": "5"},
            coupon | {"Discount_pct": "20%", "Year": "2019"},
            coupon | {"Discount_pct": "25", "Valid From": "1/15/2019"},
            coupon | {"Discount_pct": "30", "Year": "2020"},
            coupon | {"Discount_pct": "30.0", "Year": "2020"},
        ],
    )
    put(
        shop,
        "Tax_amount.csv",
        [
            *taxes(),
            {"Product_Category": "candles", "GST": "12%", "year": "2020"},
            {"Product_Category": "Candles", "GST": "0.15", "valid_from": "2020-07-01"},
        ],
    )

    outcome = built(shop)

    assert outcome.success, outcome.output
    assert rejected(shop) == {}
    found = shop.query(
        "select transaction_date::varchar, discount_amount, gst_amount from analytics.fct_sales"
        " order by transaction_id"
    )
    assert [(day, int(discount), gst) for day, discount, gst in found] == [
        ("2019-01-10", 20, Decimal("8.00")),
        ("2019-01-20", 25, Decimal("7.50")),
        ("2020-01-10", 30, Decimal("8.40")),
        ("2021-01-10", 5, Decimal("14.25")),
        ("2020-02-10", 0, Decimal("12.00")),
        ("2020-07-01", 0, Decimal("15.00")),
        ("2019-12-31", 0, Decimal("10.00")),
    ]


def test_lines_of_one_product_and_numbers_used_again_all_count(shop: Project) -> None:
    first = sales()[0]
    lines = [
        *sales(),
        first | {"Avg_Price": "1.00"},
        first | {"Quantity": "9"},
        first,
        first | {"Transaction_Date": "1/1/2020"},
        first | {"Transaction_Date": "1/2/2020", "Product_SKU": "P1"},
    ]
    put(shop, "Online_Sales.csv", lines)

    outcome = built(shop)

    assert outcome.success, outcome.output
    assert rejected(shop) == {
        (
            "Online_Sales.csv",
            123,
        ): 'transaction_id "7000" has the same line before: it is the same line as row 1'
    }
    found = shop.query(
        "select transaction_occurrence, product_sku, line_number, quantity, gross_sales_amount,"
        " transaction_date::varchar from staging.base_online_sales"
        " where transaction_id = 7000 and reject_reason is null order by 1, 2, 3"
    )
    assert found == [
        (1, "P0", 1, 1, Decimal("1.00"), "2019-01-01"),
        (1, "P0", 2, 1, Decimal("3.25"), "2019-01-01"),
        (1, "P0", 3, 9, Decimal("29.25"), "2019-01-01"),
        (1, "P1", 1, 1, Decimal("3.50"), "2019-01-01"),
        (2, "P0", 1, 1, Decimal("3.25"), "2020-01-01"),
        (2, "P1", 1, 1, Decimal("3.25"), "2020-01-02"),
    ]
    # Two transactions of one number have two delivery charges.
    assert totals(shop).delivery == 61 * Decimal("6.50")
    assert shop.query("select count(*), count(distinct sales_line_id) from analytics.fct_sales") == [
        (124, 124)
    ]


def test_a_newer_part_replaces_the_lines_that_it_repeats(shop: Project, tmp_path: Path) -> None:
    shop.ingest()
    newer = change(sales()[:30], row_1={"Quantity": "2"}, row_2={"Avg_Price": "ten"})
    put(shop, "Online_Sales_2.csv", newer)

    outcome = built(shop)

    assert outcome.success, outcome.output  # though a quarter of the rows is repeated, nothing is lost
    reasons = rejected(shop)
    assert reasons.pop(("Online_Sales_2.csv", 2)).startswith('avg_price "ten"')
    assert set(reasons) == {("Online_Sales.csv", row) for row in range(1, 31) if row != 2}
    assert reasons["Online_Sales.csv", 1] == (
        'transaction_id "7000" has this product and day in a newer file too: Online_Sales_2.csv'
    )
    right = change(sales(), row_1={"Quantity": "2"})
    assert totals(shop) == expected(tmp_path / "expected", right)


def test_sales_of_unknown_customers_keep_their_revenue(shop: Project, tmp_path: Path) -> None:
    put(shop, "CustomersData.csv", customers()[1:])
    put(shop, "Online_Sales.csv", change(sales(), row_3={"CustomerID": ""}, row_4={"CustomerID": "NULL"}))

    outcome = built(shop)

    assert outcome.success, outcome.output
    assert rejected(shop) == {}
    found = shop.query(
        "select source_customer_id, count(*) from staging.stg_online_sales where customer_id = -1"
        " group by 1 order by 1"
    )
    assert found == [(200, 2), (None, 2)]
    assert totals(shop) == expected(tmp_path / "sound")
    assert re.search(
        r"4 of 120 order lines \(worth [\d.]+ of [\d.]+ gross\) are of customers who are not"
        r" among the customers, as customerid 200: they count for the unknown customer, -1\.",
        said(outcome),
    )


def test_a_price_counts_with_all_its_decimals(shop: Project, tmp_path: Path) -> None:
    lines = [row | {"Quantity": "300", "Avg_Price": "0.33333333"} for row in sales()]
    put(shop, "Online_Sales.csv", lines)

    outcome = built(shop)

    assert outcome.success, outcome.output
    assert totals(shop).gross == 120 * Decimal(100)
    assert totals(shop) == expected(tmp_path / "expected", lines)
    assert shop.query("select distinct avg_price from analytics.fct_sales") == [(Decimal("0.3333"),)]


def test_a_delivery_charge_that_does_not_count_is_named(shop: Project, tmp_path: Path) -> None:
    """Each line repeats its transaction's charge; where lines disagree, the largest counts, and 0 is none."""
    put(
        shop,
        "Online_Sales.csv",
        change(sales(), row_1={"Delivery_Charges": "3"}, row_4={"Delivery_Charges": "0"}),
    )

    outcome = built(shop)

    assert outcome.success, outcome.output
    assert totals(shop) == expected(tmp_path / "sound")
    assert shop.query(
        "select source_row, warning from staging.base_online_sales where warning is not null"
    ) == [(1, "its delivery charge of 3.00 does not count, since its transaction also has 6.50. ")]
    assert "Online_Sales.csv, row 1: its delivery charge of 3.00 does not count" in said(outcome)


def test_a_category_has_its_group_however_it_is_written(shop: Project) -> None:
    first = read(shop.directory / "seeds" / "product_groups.csv")[0]
    category, group = first["category"], first["product_group"]
    put(shop, "Tax_amount.csv", [*taxes(), {"Product_Category": category.upper(), "GST": "5%"}])
    put(shop, "Online_Sales.csv", change(sales(), row_1={"Product_Category": category.lower()}))

    assert built(shop).success
    assert shop.query("select product_group from analytics.dim_products where product_sku = 'P0'") == [
        (group,)
    ]


def test_an_empty_coupon_status_gives_no_discount_and_is_named(shop: Project, tmp_path: Path) -> None:
    put(shop, "Online_Sales.csv", change(sales(), row_1={"Coupon_Status": ""}))

    outcome = built(shop)

    assert outcome.success, outcome.output
    assert "Online_Sales.csv, row 1: coupon_status is empty, so no discount is given." in said(outcome)
    lines = change(sales(), row_1={"Coupon_Status": "Not Used"})
    assert totals(shop) == expected(tmp_path / "expected", lines)
    assert shop.query("select coupon_status from analytics.fct_sales where product_sku = 'P0'") == [
        ("Unknown",)
    ]


def test_the_largest_values_overflow_nowhere(shop: Project) -> None:
    largest = {"Quantity": "1000000", "Avg_Price": "10000000", "Delivery_Charges": "1000000"}
    put(shop, "Online_Sales.csv", [row | largest for row in sales()])
    put(
        shop,
        "Marketing_Spend.csv",
        [row | {"Offline_Spend": "1000000000", "Online_Spend": "1000000000"} for row in spend()],
    )
    put(shop, "CustomersData.csv", [row | {"Tenure_Months": "1200"} for row in customers()])

    outcome = built(shop, *WITHOUT_TESTS)

    assert outcome.success, outcome.output
    assert totals(shop).gross == 120 * Decimal(10) ** 13


BASE = {
    "lines": 120,
    "orders": 60,
    "gross": "4042.00",
    "discount": "216.80",
    "gst": "424.02",
    "delivery": "360.00",
}
# What is right for each shared input: figures, a reason in quarantine, or the sentence that stops the run.
RIGHT: dict[str, dict[str, object]] = {
    "01": {"lines": 116, "reason": 'transaction_id "5.23457E+11" is not a whole number'},
    "04": BASE,
    "07": BASE,
    "09": {"refused": "Online_Sales_H2.csv"},
    "12": BASE,
    "14": {"stopped": 'product_category "Lamps" has no tax rate'},
    "15": BASE,
    "17": BASE
    | {"gross": "25031.50", "discount": None, "gst": None, "said": "max_transaction_amount = 15000"},
    "19": {"lines": 119, "orders": 60, "gross": "4031.50", "reason": 'quantity "4006381333931" is above'},
    "22": {"lines": 120, "orders": 60, "gross": "4042.00", "delivery": "360.00"},
    "25": {"customers": 193_905},
    "28": {"stopped": '-Jun" is not a month like Jan'},
    "31": BASE,
    "33": BASE,
    "37": BASE,
    "39": BASE,
    "41": BASE | {"customers": 60},
    "44": {"lines": 121, "orders": 60, "gross": "4051.00", "delivery": "360.00"},
}


@pytest.mark.parametrize("number", RIGHT)
def test_each_shared_input_gives_what_is_right_for_it(empty: Project, number: str) -> None:
    [folder] = list(CASES.glob(f"{number}-*")) or [pytest.skip("the shared inputs are not on this machine")]
    shop = replace(empty, folder=folder / "input")
    right = dict(RIGHT[number])
    if refused := right.get("refused"):
        with pytest.raises(IngestionError, match=str(refused)):
            shop.ingest()
        return

    outcome = built(shop)

    if stopped := right.get("stopped"):
        assert outcome.states["fct_sales"] == "skipped"
        assert str(stopped) in said(outcome)
        return
    assert outcome.success, outcome.output
    assert str(right.get("said", "")) in said(outcome)
    if reason := right.get("reason"):
        assert any(str(reason) in found for found in rejected(shop).values())
    else:
        assert rejected(shop) == {}
    [counts] = shop.query(
        f"select count(*), count(distinct transaction_id), {TOTALS},"
        " (select count(*) from staging.stg_customers) from analytics.fct_sales"
    )
    names = ("lines", "orders", "gross", "discount", "net", "gst", "delivery", "total", "customers")
    found = dict(zip(names, map(str, counts), strict=True))
    figures = {name: str(value) for name, value in right.items() if name in names and value is not None}
    assert {name: found[name] for name in figures} == figures
