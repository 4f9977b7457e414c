"""A features file is read as it is meant, or refused with one sentence that says what to correct."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ml.features import FeaturesError, check_features, read_features
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
        (0, "recency_days", None, "column recency_days has no value for customer 12000."),
        (1, "frequency", None, "column frequency has no value for customer 12001."),
        (2, "monetary", -0.01, "column monetary is negative for customer 12002 (-0.01)."),
        (3, "monetary", float("inf"), "column monetary is not finite for customer 12003 (inf)."),
        (4, "monetary", "much", "column monetary has a value that is no number for customer 12004 ('much')."),
        (5, "frequency", 1.5, "column frequency is no whole number for customer 12005 (1.5)."),
        (6, "frequency", 0, "column monetary has revenue without an order for customer 12006."),
        (7, "customer_id", 12_000, "column customer_id has customer 12000 more than once."),
        (8, "customer_id", "C-8", "column customer_id has 'C-8' in row 9, which is no whole number."),
        (9, "customer_id", None, "column customer_id has no value in row 10, which is no whole number."),
    ],
)
def test_a_bad_value_is_refused_with_its_column_and_customer(
    row: int, column: str, value: Any, message: str
) -> None:
    with pytest.raises(FeaturesError) as caught:
        check_features(changed(row, column, value), "shop.csv")

    assert str(caught.value) == f"shop.csv: {message}"


def test_many_bad_values_make_one_sentence() -> None:
    frame = made_up_customers(50).assign(monetary=-1.0)

    with pytest.raises(FeaturesError, match=r"for customer 12000 \(-1\.0\), and for 49 more\.$"):
        check_features(frame, "shop.csv")


def test_missing_columns_are_named() -> None:
    with pytest.raises(FeaturesError, match=r"^shop\.csv lacks the columns frequency, monetary\.$"):
        check_features(made_up_customers(50).drop(columns=["monetary", "frequency"]), "shop.csv")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
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
