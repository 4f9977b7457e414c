"""What the made-up files promise: same bytes for the same arguments, and the real set's shape and quirks."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from include.ingestion.origin import MARKER
from include.settings import PROJECT_ROOT
from standalone.sample_data import generator as sample_data
from standalone.sample_data import sales as sales_module

REAL_SET = PROJECT_ROOT.parent / "shared" / "data" / "ecommerce"
FILES = (
    "CustomersData.csv",
    "Discount_Coupon.csv",
    "Marketing_Spend.csv",
    "Online_Sales.csv",
    "Tax_amount.csv",
)
# The bytes must not depend on the Python version, the machine or numpy's release. Change these digests only
# together with the generator.
DIGESTS = {
    "CustomersData.csv": "04c4dc7d4cb94a667c0cd49a352c17f2fe2a2e6474e2a2dcd1c3a96e6388785a",
    "Discount_Coupon.csv": "a71d3feb4b98e57eb6286ebc8921508a58b0b4e13a8ac37626ca198988881a91",
    "Marketing_Spend.csv": "93e5b421ce4aaf821afd5c5f04a5597658f72bd3f8b10585d66c1fa794301840",
    "Online_Sales.csv": "89cd37507cc4a16e7706bc4aca5f680917722aed9490e39c902457b6e99481d7",
    "Tax_amount.csv": "95e96008b2357d2ae592650f9b4f7403cd303d432866ce3d223a1fcc6f25e1da",
}


def _digests(directory: Path) -> dict[str, str]:
    return {name: hashlib.sha256((directory / name).read_bytes()).hexdigest() for name in FILES}


def _count(sales: pd.DataFrame, *columns: str) -> int:
    """Return how many distinct combinations of the columns there are."""
    return len(sales.drop_duplicates(list(columns)))


def _sales(directory: Path) -> pd.DataFrame:
    sales = pd.read_csv(directory / "Online_Sales.csv")
    sales["date"] = pd.to_datetime(sales["Transaction_Date"], format="%m/%d/%Y")
    return sales


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of generated files at scale 1."""
    directory = tmp_path_factory.mktemp("made")
    sample_data.generate(directory)
    return directory


@pytest.fixture(scope="module")
def sales(made: Path) -> pd.DataFrame:
    """Return the generated order lines."""
    return _sales(made)


@pytest.fixture(scope="module")
def real_sales() -> pd.DataFrame:
    """Return the real order lines where the real set lies beside the repository."""
    if not REAL_SET.is_dir():
        pytest.skip("the real data set is not here")
    return _sales(REAL_SET)


def test_bytes_are_the_same_on_every_machine(made: Path) -> None:
    assert _digests(made) == DIGESTS


def test_another_seed_gives_other_lines(made: Path, tmp_path: Path) -> None:
    sample_data.generate(tmp_path, seed=7)

    changed = {name for name in FILES if _digests(tmp_path)[name] != DIGESTS[name]}

    assert changed == {"CustomersData.csv", "Marketing_Spend.csv", "Online_Sales.csv"}


def test_second_call_writes_nothing(made: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in made.iterdir()}

    sample_data.generate(made)

    assert {path.name: path.stat().st_mtime_ns for path in made.iterdir()} == before


def test_files_of_another_release_are_made_again(tmp_path: Path) -> None:
    """Whichever module of the package changed since."""
    package = tmp_path / "standalone" / "sample_data"
    shutil.copytree(PROJECT_ROOT / "standalone" / "sample_data", package)
    (package.parent / "__init__.py").touch()  # else the project's own package goes before this one
    command = [sys.executable, "-m", "standalone.sample_data", "files"]
    environment = os.environ | {"PYTHONPATH": str(PROJECT_ROOT)}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    marker = tmp_path / "files" / MARKER

    for module in (package / "tables.py", package / "text.py"):
        before = marker.read_text()
        module.write_text(module.read_text() + "# changed\n")
        subprocess.run(command, cwd=tmp_path, env=environment, check=True)
        assert marker.read_text() != before, module.name

    assert json.loads(marker.read_text())["files"] == DIGESTS


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"half a fi")])
def test_second_call_mends_a_damaged_file(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    sample_data.generate(tmp_path)
    damage(tmp_path / "Tax_amount.csv")

    sample_data.generate(tmp_path)

    assert _digests(tmp_path) == DIGESTS


def test_other_scale_replaces_the_files_and_leaves_no_temporary_ones(tmp_path: Path) -> None:
    sample_data.generate(tmp_path)
    sample_data.generate(tmp_path, scale=2)

    sales = _sales(tmp_path)

    assert {path.name for path in tmp_path.iterdir()} == {*FILES, MARKER}
    assert 104_000 < len(sales) < 108_000
    assert 49_500 < sales["Transaction_ID"].nunique() < 51_000
    assert sales["CustomerID"].nunique() == 1_468
    assert sales["Product_SKU"].nunique() == 1_145
    assert sales["date"].nunique() == 365
    assert not sales.duplicated(["Transaction_ID", "Product_SKU"]).any()


def test_chunks_do_not_break_transactions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sales_module, "CHUNK_TRANSACTIONS", 3_000)
    sample_data.generate(tmp_path)

    sales = _sales(tmp_path)

    assert sales["Transaction_ID"].is_monotonic_increasing
    assert not sales.duplicated(["Transaction_ID", "Product_SKU"]).any()
    assert sales["Product_SKU"].nunique() == 1_145
    assert _count(sales, "Transaction_ID", "date") == _count(sales, "Transaction_ID")


def test_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample_data.generate(tmp_path)

    def fail(*_: object) -> memoryview:
        raise OSError("disk full")

    monkeypatch.setattr(sales_module.SalesWriter, "_chunk", fail)
    with pytest.raises(OSError, match="disk full"):
        sample_data.generate(tmp_path, scale=2)

    assert _digests(tmp_path)["Online_Sales.csv"] == DIGESTS["Online_Sales.csv"]
    assert not list(tmp_path.glob(".*.tmp"))


def test_scale_below_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="scale must be 1 or more"):
        sample_data.generate(tmp_path, scale=0)


@pytest.mark.parametrize("name", FILES)
def test_headers_and_line_ends_are_the_real_ones(made: Path, name: str) -> None:
    if not REAL_SET.is_dir():
        pytest.skip("the real data set is not here")

    with (made / name).open("rb") as made_file, (REAL_SET / name).open("rb") as real_file:
        assert made_file.readline() == real_file.readline()


def test_customers(made: Path) -> None:
    customers = pd.read_csv(made / "CustomersData.csv")

    assert list(customers.columns) == ["CustomerID", "Gender", "Location", "Tenure_Months"]
    assert len(customers) == customers["CustomerID"].nunique() == 1_468
    assert {12346, 12347, 18283} <= set(customers["CustomerID"])
    assert customers["CustomerID"].between(12346, 18283).all()
    assert customers["Tenure_Months"].agg(["min", "max"]).tolist() == [2, 50]
    assert customers["Gender"].value_counts(normalize=True)["F"] == pytest.approx(0.636, abs=0.005)
    shares = customers["Location"].value_counts(normalize=True).round(2).to_dict()
    assert shares == {
        "California": 0.32,
        "Chicago": 0.31,
        "New York": 0.22,
        "New Jersey": 0.10,
        "Washington DC": 0.05,
    }


def test_sales_have_the_size_and_keys_of_the_real_ones(made: Path, sales: pd.DataFrame) -> None:
    customers = pd.read_csv(made / "CustomersData.csv")

    assert 52_000 < len(sales) < 54_000
    assert 24_700 < sales["Transaction_ID"].nunique() < 25_400
    assert set(sales["CustomerID"]) == set(customers["CustomerID"])
    assert sales["date"].nunique() == 365
    assert sales["date"].is_monotonic_increasing
    assert sales["Transaction_ID"].is_monotonic_increasing
    assert not sales.duplicated(["Transaction_ID", "Product_SKU"]).any()


def test_products_have_one_description_one_category_and_several_prices(sales: pd.DataFrame) -> None:
    assert _count(sales, "Product_SKU") == 1_145
    assert _count(sales, "Product_SKU", "Product_Description", "Product_Category") == 1_145
    assert _count(sales, "Product_SKU", "Avg_Price") / 1_145 == pytest.approx(3.8, abs=0.4)
    assert sales["Avg_Price"].min() >= 0.39
    assert sales["Quantity"].max() == 900


def test_a_transaction_has_one_date_and_one_charge_even_when_customers_share_it(sales: pd.DataFrame) -> None:
    customers = sales.groupby("Transaction_ID")["CustomerID"].nunique()

    assert _count(sales, "Transaction_ID", "date", "Delivery_Charges") == len(customers)
    assert (customers > 1).mean() == pytest.approx(0.053, abs=0.01)
    assert customers.max() >= 4


def test_text_quirks(made: Path, sales: pd.DataFrame) -> None:
    text = (made / "Online_Sales.csv").read_text(encoding="utf-8")

    assert '"' in text  # a description with a comma is quoted
    assert sales["Product_Description"].str.contains(",").any()
    assert sales["Product_Description"].str.contains("&quot;").any()
    assert sales["Product_Description"].str.contains(" & ").any()
    assert sales["Transaction_Date"].iloc[0] == "1/1/2019"


def test_numbers_are_written_like_the_real_ones(made: Path) -> None:
    sales = pd.read_csv(made / "Online_Sales.csv", dtype=str)

    assert sales["Avg_Price"].str.fullmatch(r"\d+(\.\d?[1-9])?").all()
    assert sales["Delivery_Charges"].str.fullmatch(r"\d+(\.\d?[1-9])?").all()
    assert sales["Quantity"].str.fullmatch(r"[1-9]\d*").all()


def test_marketing_spend(made: Path) -> None:
    spend = pd.read_csv(made / "Marketing_Spend.csv")
    written = (made / "Marketing_Spend.csv").read_text(encoding="utf-8").splitlines()[1:]

    assert len(spend) == spend["Date"].nunique() == 365
    assert (spend["Offline_Spend"] % 500 == 0).all()
    assert spend["Offline_Spend"].between(500, 5000).all()
    assert spend["Online_Spend"].between(300, 5000).all()
    assert all(len(line.split(",")[2].partition(".")[2]) <= 2 for line in written)


def test_coupons_and_tax(made: Path, sales: pd.DataFrame) -> None:
    coupons = pd.read_csv(made / "Discount_Coupon.csv")
    tax = pd.read_csv(made / "Tax_amount.csv")
    coupon_categories = set(coupons["Product_Category "])
    sold = set(sales["Product_Category"])

    assert list(coupons.columns) == ["Month", "Product_Category ", "Coupon_Code", "Discount_pct"]
    assert len(coupons) == 204
    assert len(coupons.drop_duplicates(["Month", "Product_Category "])) == 204
    assert set(coupons["Discount_pct"]) == {10, 20, 30}
    assert coupon_categories - sold == {"Notebooks"}
    assert sold - coupon_categories == {"Fun", "Google", "Backpacks", "More Bags"}
    assert set(tax["Product_Category"]) == sold
    assert len(sold) == 20
    assert set(tax["GST"]) == {"5%", "10%", "12%", "18%"}


def test_some_customers_lapse_and_a_few_bring_much_of_the_revenue(sales: pd.DataFrame) -> None:
    sales = sales.assign(revenue=sales["Quantity"] * sales["Avg_Price"])
    by_customer = sales.groupby("CustomerID")
    last = by_customer["date"].max()
    revenue = by_customer["revenue"].sum().sort_values(ascending=False)

    assert (last < "2019-07-06").mean() > 0.3
    assert (last > "2019-12-01").mean() > 0.1
    assert revenue.head(147).sum() / revenue.sum() > 0.35
    assert (by_customer["date"].nunique() >= 5).sum() > 50


@pytest.mark.parametrize("column", ["Product_Category", "Coupon_Status"])
def test_shares_are_near_the_real_ones(sales: pd.DataFrame, real_sales: pd.DataFrame, column: str) -> None:
    made, real = (frame[column].value_counts(normalize=True) for frame in (sales, real_sales))

    assert set(made.index) == set(real.index)
    assert (made - real).abs().max() < 0.02


def test_months_are_near_the_real_ones(sales: pd.DataFrame, real_sales: pd.DataFrame) -> None:
    made, real = (frame["date"].dt.month.value_counts(normalize=True) for frame in (sales, real_sales))

    assert (made - real).abs().max() < 0.01


def _lines_per_transaction(sales: pd.DataFrame) -> pd.Series:
    return sales.groupby("Transaction_ID").size()


def _lines_per_customer(sales: pd.DataFrame) -> pd.Series:
    return sales.groupby("CustomerID").size()


def _revenue_per_line(sales: pd.DataFrame) -> pd.Series:
    return sales["Quantity"] * sales["Avg_Price"]


def _lines_per_day(sales: pd.DataFrame) -> pd.Series:
    return sales.groupby("date").size()


@pytest.mark.parametrize(
    ("measure", "tolerance"),
    [
        (_lines_per_transaction, 0.05),
        (_lines_per_customer, 0.30),
        (_revenue_per_line, 0.25),
        (_lines_per_day, 0.20),
    ],
)
def test_distributions_are_near_the_real_ones(
    sales: pd.DataFrame,
    real_sales: pd.DataFrame,
    measure: Callable[[pd.DataFrame], pd.Series],
    tolerance: float,
) -> None:
    made, real = (measure(frame).quantile([0.25, 0.5, 0.75, 0.9]) for frame in (sales, real_sales))

    assert ((made - real) / real).abs().max() <= tolerance


def test_no_sale_is_larger_than_the_shop_has_seen(made: Path) -> None:
    """The real set's largest line is 10,512 USD; the dbt project refuses amounts above 15,000."""
    sales = pd.read_csv(made / "Online_Sales.csv")
    assert (sales["Quantity"] * sales["Avg_Price"]).max() <= 10_500
