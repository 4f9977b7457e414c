"""What the model knows of a customer: the columns of a features file, and the check that it can be used.

A features file (CSV or Parquet) has one row per customer, measured up to one as-of date. Other columns than
the ones below are left out. Money is exact in the file and float64 in the model.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from include.warehouse import Warehouse

FEATURES_TABLE = "staging.int_customer_features"
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FeatureColumn:
    """A column of a features file; `whole` ones hold whole numbers."""

    name: str
    meaning: str
    whole: bool


CUSTOMER_ID = "customer_id"
RECENCY = FeatureColumn("recency_days", "Days from the last order to the as-of date.", whole=True)
FREQUENCY = FeatureColumn("frequency", "Orders: distinct transaction ids of the customer.", whole=True)
MONETARY = FeatureColumn("monetary", "Revenue: the sum of net_sales_amount, USD.", whole=False)
BUYING_SPAN = FeatureColumn("buying_span_days", "Days from the first order to the last.", whole=True)
FILE_COLUMNS = (RECENCY, FREQUENCY, MONETARY, BUYING_SPAN)

# Computed here, never read: a file's own average could disagree with its revenue and orders.
AVERAGE_ORDER_VALUE = FeatureColumn(
    "average_order_value", "Revenue of an order, USD: monetary / frequency.", False
)
FEATURES = (*FILE_COLUMNS, AVERAGE_ORDER_VALUE)
FEATURE_NAMES = tuple(column.name for column in FEATURES)


class FeaturesError(Exception):
    """The features cannot be used: one sentence that names the source, the column and the customer."""


@dataclass(frozen=True)
class CustomerFeatures:
    """Checked features.

    `frame` has one row for each customer with an order, indexed and ordered by customer_id (int64), with the
    columns FEATURE_NAMES (float64). Customers without an order have no behaviour to segment by: they are
    only counted.
    """

    frame: pd.DataFrame
    without_orders: int

    def fingerprint(self) -> str:
        """Return a SHA-256 of ids and values (hex); the order of the source's rows does not change it."""
        digest = hashlib.sha256(",".join(FEATURE_NAMES).encode())
        digest.update(self.frame.index.to_numpy(dtype="<i8").tobytes())
        digest.update(np.ascontiguousarray(self.frame.to_numpy(dtype="<f8")).tobytes())
        return digest.hexdigest()


def read_features(path: Path) -> CustomerFeatures:
    """Read and check a .csv or .parquet file; raises FeaturesError."""
    readers: dict[str, Callable[[Path], pd.DataFrame]] = {".csv": pd.read_csv, ".parquet": pd.read_parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise FeaturesError(f"{path}: a features file ends in .csv or .parquet.")
    try:
        frame = reader(path)
    except (
        OSError,
        ValueError,
        pd.errors.ParserError,
    ) as error:  # pyarrow's errors are OSError or ValueError
        raise FeaturesError(f"{path} cannot be read: {_one_line(error)}.") from error
    return check_features(frame, str(path))


def load_features(warehouse: Warehouse) -> CustomerFeatures:
    """Read and check the features that dbt has computed in the warehouse; raises FeaturesError."""
    # The model needs no exact money, and float64 spares a Decimal object a customer.
    columns = ", ".join([CUSTOMER_ID, *(f"cast({one.name} as double) as {one.name}" for one in FILE_COLUMNS)])
    with warehouse.session() as session:
        rows = session.execute(f"select {columns} from {FEATURES_TABLE}")  # noqa: S608 (our names)
    frame = pd.DataFrame.from_records(rows, columns=[CUSTOMER_ID, *(one.name for one in FILE_COLUMNS)])
    return check_features(frame, FEATURES_TABLE)


def check_features(frame: pd.DataFrame, source: str) -> CustomerFeatures:
    """Check a frame with the columns customer_id and FILE_COLUMNS; `source` names it in messages.

    A customer with frequency 0 may have empty values, but no revenue. Raises FeaturesError.
    """
    needed = [CUSTOMER_ID, *(column.name for column in FILE_COLUMNS)]
    missing = [name for name in needed if name not in frame.columns]
    if missing:
        raise FeaturesError(f"{source} lacks the columns {', '.join(missing)}.")
    checked = frame[needed].reset_index(drop=True)
    checked[CUSTOMER_ID] = _customer_ids(checked[CUSTOMER_ID], source)
    checked = checked.set_index(CUSTOMER_ID).sort_index()
    for column in FILE_COLUMNS:
        checked[column.name] = _numbers(checked[column.name], source)
    _check_values(checked[[FREQUENCY.name]], source)
    ordered = checked[FREQUENCY.name] > 0
    _refuse(
        ~ordered & (checked[MONETARY.name].fillna(0) != 0),
        f"{source}: column {MONETARY.name} has revenue without an order",
    )
    customers = checked[ordered].copy()
    _check_values(customers, source)
    customers[AVERAGE_ORDER_VALUE.name] = customers[MONETARY.name] / customers[FREQUENCY.name]
    return CustomerFeatures(customers, without_orders=int((~ordered).sum()))


def _customer_ids(ids: "pd.Series[int]", source: str) -> "pd.Series[int]":
    numbers = pd.to_numeric(ids, errors="coerce")
    bad = numbers.isna() | (numbers % 1 != 0)
    if bad.any():
        row = int(bad.to_numpy().argmax())
        raise FeaturesError(
            f"{source}: column {CUSTOMER_ID} has {_shown(ids.iloc[row])} in row {row + 1},"
            " which is no whole number."
        )
    numbers = numbers.astype("int64")
    duplicated = numbers[numbers.duplicated()]
    if not duplicated.empty:
        raise FeaturesError(
            f"{source}: column {CUSTOMER_ID} has customer {duplicated.iloc[0]} more than once."
        )
    return numbers


def _numbers(values: "pd.Series[float]", source: str) -> "pd.Series[float]":
    numbers = pd.to_numeric(values, errors="coerce").astype("float64")
    _refuse(
        numbers.isna() & values.notna(),
        f"{source}: column {values.name} has a value that is no number",
        values,
    )
    return numbers


def _check_values(frame: pd.DataFrame, source: str) -> None:
    for column in FILE_COLUMNS:
        if column.name not in frame.columns:
            continue
        values = frame[column.name]
        where = f"{source}: column {column.name}"
        _refuse(values.isna(), f"{where} has no value")
        _refuse(~np.isfinite(values), f"{where} is not finite", values)
        _refuse(values < 0, f"{where} is negative", values)
        if column.whole:
            _refuse(values % 1 != 0, f"{where} is no whole number", values)


def _refuse(bad: "pd.Series[bool]", problem: str, values: "pd.Series[float] | None" = None) -> None:
    """Raise FeaturesError with the first bad customer, its value if given, and how many more there are."""
    if not bad.any():
        return
    customer = int(bad.idxmax())  # type: ignore[call-overload]
    value = "" if values is None else f" ({_shown(values.loc[customer])})"
    others = int(bad.sum()) - 1
    more = f", and for {others} more" if others else ""
    raise FeaturesError(f"{problem} for customer {customer}{value}{more}.")


def _shown(value: object) -> str:
    return "no value" if pd.isna(value) else repr(value.item() if isinstance(value, np.generic) else value)  # type: ignore[call-overload]


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")
