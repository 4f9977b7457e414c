"""A features file is read as it is meant, or refused with one sentence that says what to correct."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from include.warehouse.duckdb import DuckDBWarehouse
from ml.features import FeaturesError, check_features, load_features, read_features
from tests.ml.customers import made_up_customers


def changed(row: int, column: str, value: Any) -> pd.DataFrame:
    frame = made_up_customers(50).sort_values("customer_id", ignore_index=True).astype(object)
    frame.loc[row, column] = value
    return frame


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_both_file_formats_give_the_same_features(tmp_path: Path, ending: str) -> None:
    frame = made_up_customers(50)
    path = tmp_path / f"features.{ending}"
    if ending == "csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)

    features = read_features(path)

    assert features.fingerprint() == check_features(frame, "frame").fingerprint()


def test_the_average_order_value_is_revenue_per_order_whatever_the_file_says() -> None:
    frame = made_up_customers(50).assign(average_order_value=-1)

    customers = check_features(frame, "frame").frame

    pd.testing.assert_series_equal(
        customers["average_order_value"], customers["monetary"] / customers["frequency"], check_names=False
    )


def test_a_fingerprint_knows_the_values_but_not_their_order() -> None:
    frame = made_up_customers(50)
    fingerprint = check_features(frame, "frame").fingerprint()

    assert check_features(frame.sample(frac=1, random_state=1), "frame").fingerprint() == fingerprint
    assert check_features(changed(7, "monetary", 1.23), "frame").fingerprint() != fingerprint


def test_customers_without_an_order_are_counted_and_left_out() -> None:
    frame = made_up_customers(50)
    newcomer = pd.DataFrame([{"customer_id": 1, "frequency": 0, "monetary": None}])

    features = check_features(pd.concat([frame, newcomer]), "frame")

    assert features.without_orders == 1
    assert len(features.frame) == 50
    assert 1 not in features.frame.index


@pytest.mark.parametrize(
    ("row", "column", "value", "message"),
    [
        (0, "recency_days", None, "column recency_days has no value for customer 12000 in row 1."),
        (1, "frequency", None, "column frequency has no value for customer 12001 in row 2."),
        (2, "monetary", -0.01, "column monetary is negative for customer 12002 in row 3 (-0.01)."),
        (3, "monetary", float("inf"), "column monetary is not finite for customer 12003 in row 4 (inf)."),
        (3, "monetary", "1e400", "column monetary is not finite for customer 12003 in row 4 (inf)."),
        (
            3,
            "monetary",
            2e12,
            "column monetary is above 1e+12 for customer 12003 in row 4 (2000000000000.0).",
        ),
        (
            4,
            "monetary",
            "much",
            "column monetary has a value that is no number for customer 12004 in row 5 ('much').",
        ),
        (5, "frequency", 1.5, "column frequency is no whole number for customer 12005 in row 6 (1.5)."),
        (6, "frequency", 0, "column monetary has revenue without an order for customer 12006 in row 7."),
    ],
)
def test_a_bad_value_is_refused_with_its_column_customer_and_row(
    tmp_path: Path, row: int, column: str, value: Any, message: str
) -> None:
    frame = changed(row, column, value)
    frame.to_csv(tmp_path / "shop.csv", index=False)

    with pytest.raises(FeaturesError) as from_frame:
        check_features(frame, "shop.csv")
    with pytest.raises(FeaturesError) as from_file:
        read_features(tmp_path / "shop.csv")

    assert str(from_frame.value) == f"shop.csv: {message}"
    assert str(from_file.value) == f"{tmp_path}/shop.csv: {message}"


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (
            "9999679083512798001",
            "9999679083512798001 in row 9 is too large: the maximum is 9223372036854775807",
        ),
        ("-12008", "-12008 in row 9 is too small: the minimum is 0"),
        ("12000", "12000 in row 9 has been in row 1 already"),
        ("12000.0", "12000.0 in row 9 has been in row 1 already"),
        ("012008", "012008 in row 9 has leading zeros, which a whole number cannot keep"),
        ("12008.5", "12008.5 in row 9 is no whole number"),
        ("1.2008E+4", "1.2008E+4 in row 9 is no whole number"),
        ("12_008", "12_008 in row 9 is no whole number"),
        ("C-8", "C-8 in row 9 is no whole number"),
        ("inf", "inf in row 9 is no whole number"),
        ("", " in row 9 has no value"),
        ("NA", " in row 9 has no value"),
    ],
)
def test_a_bad_id_in_a_csv_file_is_refused_with_its_row(tmp_path: Path, value: str, problem: str) -> None:
    changed(8, "customer_id", value).to_csv(tmp_path / "shop.csv", index=False)

    with pytest.raises(FeaturesError) as caught:
        read_features(tmp_path / "shop.csv")

    assert str(caught.value) == f"{tmp_path}/shop.csv: customer_id {problem.strip()}."


@pytest.mark.parametrize(
    ("dtype", "value", "problem"),
    [
        ("uint64", 2**63, "9223372036854775808 in row 1 is too large: the maximum is 9223372036854775807"),
        ("float64", 2.0**53, "9007199254740992.0 in row 1 is a floating-point number too large to be exact"),
        ("float64", 12_000.5, "12000.5 in row 1 is no whole number"),
        ("Int64", None, " in row 1 has no value"),
        ("str", "012000", "012000 in row 1 has leading zeros, which a whole number cannot keep"),
        ("int64", 12_001, "12001 in row 2 has been in row 1 already"),
    ],
)
def test_a_bad_id_in_a_parquet_file_is_refused_with_its_row(
    tmp_path: Path, dtype: str, value: Any, problem: str
) -> None:
    frame = made_up_customers(50).sort_values("customer_id", ignore_index=True)
    frame = frame.astype({"customer_id": dtype})
    frame.loc[0, "customer_id"] = value
    frame.to_parquet(tmp_path / "shop.parquet")

    with pytest.raises(FeaturesError) as caught:
        read_features(tmp_path / "shop.parquet")

    assert str(caught.value) == f"{tmp_path}/shop.parquet: customer_id {problem.strip()}."


@pytest.mark.parametrize("value", ["9223372036854775807", "9007199254740993", "9007199254740993.0"])
def test_a_large_id_keeps_every_digit(tmp_path: Path, value: str) -> None:
    changed(8, "customer_id", value).to_csv(tmp_path / "shop.csv", index=False)

    assert read_features(tmp_path / "shop.csv").frame.index[-1] == int(value.removesuffix(".0"))


@pytest.mark.parametrize("kind", ["bool", "datetime64[s]"])
def test_a_column_of_another_type_is_not_taken_for_numbers(tmp_path: Path, kind: str) -> None:
    frame = made_up_customers(50).astype({"monetary": "int64"}).astype({"monetary": kind})
    frame.to_parquet(tmp_path / "shop.parquet")

    with pytest.raises(FeaturesError, match="column monetary has a value that is no number for customer"):
        read_features(tmp_path / "shop.parquet")


def test_money_of_the_warehouses_own_type_is_read(tmp_path: Path) -> None:
    """`write_parquet` of DuckDB keeps DECIMAL."""
    frame = made_up_customers(50)
    decimals = frame.assign(monetary=frame["monetary"].map(lambda one: Decimal(f"{one:.2f}")))
    decimals.to_parquet(tmp_path / "shop.parquet")

    found = read_features(tmp_path / "shop.parquet")

    assert found.fingerprint() == check_features(frame, "frame").fingerprint()


def test_the_warehouse_may_have_negative_keys(tmp_path: Path) -> None:
    frame = changed(0, "customer_id", -1).assign(as_of_date="2019-12-31")
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        connection.register("customers", frame.astype({"customer_id": "int64"}).infer_objects())
        connection.execute("create schema staging")
        connection.execute("create table staging.int_customer_features as from customers")

    assert load_features(DuckDBWarehouse(tmp_path / "shop.duckdb")).frame.index[0] == -1


def test_many_bad_values_make_one_sentence() -> None:
    frame = made_up_customers(50).assign(monetary=-1.0)

    with pytest.raises(FeaturesError, match=r"for customer \d+ in row 1 \(-1\.0\), and for 49 more\.$"):
        check_features(frame, "shop.csv")


def test_missing_columns_are_named() -> None:
    with pytest.raises(FeaturesError, match=r"^shop\.csv lacks the columns frequency, monetary\.$"):
        check_features(made_up_customers(50).drop(columns=["monetary", "frequency"]), "shop.csv")


def test_a_column_that_comes_twice_is_named(tmp_path: Path) -> None:
    frame = made_up_customers(50)
    pd.concat([frame, frame[["monetary"]]], axis=1).to_csv(tmp_path / "shop.csv", index=False)

    with pytest.raises(FeaturesError, match=r"shop\.csv has the column monetary more than once\.$"):
        read_features(tmp_path / "shop.csv")


HEADER = b"customer_id,recency_days,frequency,purchase_days,monetary,buying_span_days\n"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("features.csv", HEADER, "has a header but no rows"),
        ("features.csv", HEADER + b"1,2,3,4,5,6,7\n", "Expected 6 fields in line 2, saw 7"),
        ("features.csv", HEADER + b"1,2,3\n", "purchase_days has no value for customer 1 in row 1"),
        ("features.csv", HEADER.replace(b",", b";") + b"1;2;3;4;5;6\n", "lacks the columns customer_id"),
        ("features.xlsx", b"", "ends in .csv or .parquet"),
        ("features.csv", b"", "cannot be read"),
        ("features.parquet", b"no parquet", "cannot be read"),
        ("features.csv", b"\xff\xfe\x00", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)

    with pytest.raises(FeaturesError, match=message) as caught:
        read_features(tmp_path / name)

    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FeaturesError, match=r"nowhere\.csv cannot be read"):
        read_features(tmp_path / "nowhere.csv")
