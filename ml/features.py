"""What the model knows of a customer: the columns of a features file, and the check that it can be used.

A features file (CSV or Parquet) has one row per customer, measured up to one as-of date. Other columns than
the ones below are left out. Money is exact in the file and float64 in the model.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from include.warehouse import Warehouse

FEATURES_TABLE = "staging.int_customer_features"
DRY_RUN_TABLE = f"{FEATURES_TABLE}_dry_run"  # where dbt's var dry_run puts them
Floats = npt.NDArray[np.float64]

MAX_ID = 2**63 - 1  # the warehouse's bigint
MAX_VALUE = 1e12  # far above any customer; 90,000 such customers still add up in whole cents (int64)
_FIRST_INEXACT_FLOAT = 2**53
_WHOLE_NUMBER = r"[+-]?[0-9]+(?:\.0+)?"
_LEADING_ZERO = r"[+-]?0[0-9]"


@dataclass(frozen=True)
class FeatureColumn:
    """A column of a features file; `whole` ones hold whole numbers."""

    name: str
    meaning: str
    whole: bool


CUSTOMER_ID = "customer_id"
FEATURES_VERSION = 2  # 1 counted orders; 2 counts purchase days
RECENCY = FeatureColumn("recency_days", "Days from the last order to the as-of date.", whole=True)
FREQUENCY = FeatureColumn("frequency", "Orders: distinct transaction ids of the customer.", whole=True)
PURCHASE_DAYS = FeatureColumn("purchase_days", "Days with an order: purchase occasions.", whole=True)
MONETARY = FeatureColumn("monetary", "Revenue: the sum of net_sales_amount, USD.", whole=False)
BUYING_SPAN = FeatureColumn("buying_span_days", "Days from the first order to the last.", whole=True)
FILE_COLUMNS = (RECENCY, FREQUENCY, PURCHASE_DAYS, MONETARY, BUYING_SPAN)
AS_OF_DATE = "as_of_date"  # optional in a file; the same in every row

# Computed here, never read: a file's own average could disagree with its revenue and orders.
AVERAGE_ORDER_VALUE = FeatureColumn(
    "average_order_value", "Revenue of an order, USD: monetary / frequency.", False
)
PURCHASE_DAY_VALUE = FeatureColumn(
    "purchase_day_value", "Revenue of a purchase day, USD: monetary / purchase_days.", False
)
IS_REPEAT = FeatureColumn("is_repeat", "1 if the customer bought on two or more days, else 0.", True)
SILENCE = FeatureColumn(
    "silence_days", "recency_days of repeat buyers: who bought once has no rhythm to break.", True
)
# Of the macro segment_features, which says the same to the warehouse.
DERIVED = (AVERAGE_ORDER_VALUE, PURCHASE_DAY_VALUE, IS_REPEAT, SILENCE)
FEATURES = (*FILE_COLUMNS, *DERIVED)
FEATURE_NAMES = tuple(column.name for column in FEATURES)


class FeaturesError(Exception):
    """The features cannot be used: one sentence that names the source, the column and the row."""


@dataclass(frozen=True)
class CustomerFeatures:
    """Checked features.

    `frame` has one row for each customer with an order, indexed and ordered by customer_id (int64), with the
    columns FEATURE_NAMES (float64); silence_days is NaN for those who bought once. Customers without an order
    have no behaviour to segment by: they are only counted. `as_of_date` is the day that recency counts from,
    None where a file does not tell.
    """

    frame: pd.DataFrame
    without_orders: int
    as_of_date: date | None = None

    def fingerprint(self) -> str:
        """Return a SHA-256 of ids and values (hex); the order of the source's rows does not change it."""
        names = [column.name for column in FILE_COLUMNS]
        digest = hashlib.sha256(",".join(names).encode())
        digest.update(self.frame.index.to_numpy(dtype="<i8").tobytes())
        digest.update(np.ascontiguousarray(self.frame[names].to_numpy(dtype="<f8")).tobytes())
        return digest.hexdigest()

    def snapshot(self) -> pd.DataFrame:
        """Return a features file of these customers: read again, it gives the same features."""
        table = self.frame[[column.name for column in FILE_COLUMNS]].copy()
        for column in FILE_COLUMNS:
            if column.whole:
                table[column.name] = table[column.name].astype("int64")
        if self.as_of_date:
            table[AS_OF_DATE] = self.as_of_date.isoformat()
        return table.rename_axis(CUSTOMER_ID).reset_index()

    def data_range(self) -> dict[str, str | None]:
        """Return the as-of date and the first and last day with an order, ISO; None where not known."""
        if self.as_of_date is None:
            return {"as_of_date": None, "first_order_date": None, "last_order_date": None}
        recency, span = self.frame[RECENCY.name], self.frame[BUYING_SPAN.name]
        days = (0, int((recency + span).max()), int(recency.min()))
        as_of, first, last = ((self.as_of_date - timedelta(days=one)).isoformat() for one in days)
        return {"as_of_date": as_of, "first_order_date": first, "last_order_date": last}


def read_features(path: Path) -> CustomerFeatures:
    """Read and check a .csv (UTF-8) or .parquet file; raises FeaturesError."""
    readers: dict[str, Callable[[Path], pd.DataFrame]] = {".csv": _read_csv, ".parquet": pd.read_parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise FeaturesError(f"{path}: a features file ends in .csv or .parquet.")
    try:
        frame = reader(path)
    except (OSError, ValueError) as error:  # the errors of pandas and pyarrow are among these
        raise FeaturesError(f"{path} cannot be read: {_one_line(error)}.") from error
    features = check_features(frame, str(path))
    if frame.empty:
        raise FeaturesError(f"{path} has a header but no rows.")
    return features


def parse_features(content: bytes, source: str) -> CustomerFeatures:
    """Read and check the content of a CSV file, as of a stored snapshot; raises FeaturesError."""
    return check_features(_read_csv(BytesIO(content)), source, min_id=-MAX_ID - 1)


def load_features(warehouse: Warehouse, table: str = FEATURES_TABLE) -> CustomerFeatures:
    """Read and check the features that dbt has computed in the warehouse; raises FeaturesError."""
    # The model needs no exact money, and float64 spares a Decimal object a customer.
    values = (f"cast({one.name} as double) as {one.name}" for one in FILE_COLUMNS)
    columns = ", ".join([CUSTOMER_ID, AS_OF_DATE, *values])
    with warehouse.session() as session:
        rows = session.execute(f"select {columns} from {table}")  # noqa: S608 (our names)
    frame = pd.DataFrame.from_records(
        rows, columns=[CUSTOMER_ID, AS_OF_DATE, *(one.name for one in FILE_COLUMNS)]
    )
    return check_features(frame, table, min_id=-MAX_ID - 1)


def check_features(frame: pd.DataFrame, source: str, *, min_id: int = 0) -> CustomerFeatures:
    """Check a frame with the columns customer_id and FILE_COLUMNS, one row per customer, in any order.

    `source` names it in messages, which count its rows from 1, the header left out. A customer with
    frequency 0 may have empty values, but no revenue. Raises FeaturesError, also for an id below `min_id`:
    in a file a minus sign is a mistake, while the warehouse has already accepted its own keys.
    """
    checked = _needed_columns(frame, source)
    checked[CUSTOMER_ID] = _customer_ids(checked[CUSTOMER_ID], source, min_id)
    for column in FILE_COLUMNS:
        checked[column.name] = _numbers(checked, column.name, source)
    _check_values(checked, FREQUENCY, source)
    ordered = checked[FREQUENCY.name] > 0
    inactive = ordered & (checked[PURCHASE_DAYS.name] == 0)
    _refuse(checked, inactive, f"{source}: column {PURCHASE_DAYS.name} is 0, but there is an order")
    unexplained = ~ordered & (checked[MONETARY.name].fillna(0) != 0)
    _refuse(checked, unexplained, f"{source}: column {MONETARY.name} has revenue without an order")
    customers = checked[ordered]
    for column in FILE_COLUMNS:
        _check_values(customers, column, source)
    customers = customers.set_index(CUSTOMER_ID).sort_index()
    return CustomerFeatures(
        _derived(customers), without_orders=int((~ordered).sum()), as_of_date=_as_of_date(frame, source)
    )


def _derived(customers: pd.DataFrame) -> pd.DataFrame:
    repeat = customers[PURCHASE_DAYS.name] > 1
    return customers.assign(
        **{
            AVERAGE_ORDER_VALUE.name: customers[MONETARY.name] / customers[FREQUENCY.name],
            PURCHASE_DAY_VALUE.name: customers[MONETARY.name] / customers[PURCHASE_DAYS.name],
            IS_REPEAT.name: repeat.astype("float64"),
            SILENCE.name: customers[RECENCY.name].where(repeat),
        }
    )


def _as_of_date(frame: pd.DataFrame, source: str) -> date | None:
    if AS_OF_DATE not in frame.columns or frame.empty:
        return None
    days = frame[AS_OF_DATE].dropna().unique()
    if len(days) != 1:
        raise FeaturesError(f"{source}: column {AS_OF_DATE} must have one day, not {len(days)}.")
    try:
        return date.fromisoformat(str(days[0])[:10])
    except ValueError as error:
        raise FeaturesError(f"{source}: column {AS_OF_DATE} has {days[0]!r}, which is no day.") from error


def _read_csv(path: Path | BytesIO) -> pd.DataFrame:
    """Read every field as text: an inferred type rounds a large id, and turns 007 into 7.

    The header is read as a row, since pandas renames a column that comes twice, and takes the first column
    for an index where rows are longer than the header.
    """
    rows = pd.read_csv(path, header=None, dtype=str, encoding="utf-8-sig")
    return rows.iloc[1:].set_axis(rows.iloc[0].str.strip().tolist(), axis="columns")


def _needed_columns(frame: pd.DataFrame, source: str) -> pd.DataFrame:
    """Return customer_id and FILE_COLUMNS, indexed by the row's number in the source, from 1."""
    needed = [CUSTOMER_ID, *(column.name for column in FILE_COLUMNS)]
    missing = [name for name in needed if name not in frame.columns]
    if missing:
        raise FeaturesError(f"{source} lacks the columns {', '.join(missing)}.")
    for name in frame.columns[frame.columns.duplicated()]:
        if name in needed:
            raise FeaturesError(f"{source} has the column {name} more than once.")
    return frame[needed].set_axis(pd.RangeIndex(1, len(frame) + 1))


def _customer_ids(ids: "pd.Series[Any]", source: str, min_id: int) -> "pd.Series[int]":
    """Return the ids as int64; each must be a whole number from min_id to MAX_ID, and there once."""
    exact = ids if ids.dtype == np.int64 else _parse_ids(ids, source)
    _refuse_id(ids, exact > MAX_ID, source, f"is too large: the maximum is {MAX_ID}")
    _refuse_id(ids, exact < min_id, source, f"is too small: the minimum is {min_id}")
    numbers = exact.astype("int64")
    repeated = numbers.duplicated()
    if repeated.any():
        first = numbers.isin(numbers[repeated].head(1)).idxmax()
        _refuse_id(ids, repeated, source, f"has been in row {first} already")
    return numbers


def _parse_ids(ids: "pd.Series[Any]", source: str) -> "pd.Series[Any]":
    """Return the ids as Python integers of any size: numpy would wrap the ones that int64 cannot hold."""
    text = ids.astype("string").str.strip()
    _refuse_id(ids, text.isna(), source, "has no value")
    _refuse_id(ids, ~text.str.fullmatch(_WHOLE_NUMBER), source, "is no whole number")
    _refuse_id(
        ids, text.str.match(_LEADING_ZERO), source, "has leading zeros, which a whole number cannot keep"
    )
    if pd.api.types.is_float_dtype(ids):
        inexact = ids.abs() >= _FIRST_INEXACT_FLOAT
        _refuse_id(ids, inexact, source, "is a floating-point number too large to be exact")
    return text.str.split(".").str[0].astype(object).map(int)


def _refuse_id(ids: "pd.Series[Any]", bad: "pd.Series[bool]", source: str, problem: str) -> None:
    """Raise FeaturesError with the first bad id and its row."""
    if bad.any():
        row = int(bad.idxmax())  # type: ignore[call-overload]
        value = "" if pd.isna(ids[row]) else f" {ids[row]}"
        raise FeaturesError(f"{source}: {CUSTOMER_ID}{value} in row {row} {problem}.")


def _numbers(frame: pd.DataFrame, name: str, source: str) -> "pd.Series[float]":
    """Return a column as float64; numbers only, no dates and no true or false, which would convert too."""
    values = frame[name]
    if values.dtype.kind in "bmM":
        values = values.astype(str)
    numbers = pd.to_numeric(values, errors="coerce").astype("float64")
    bad = numbers.isna() & values.notna()
    _refuse(frame, bad, f"{source}: column {name} has a value that is no number", values)
    return numbers


def _check_values(frame: pd.DataFrame, column: FeatureColumn, source: str) -> None:
    values = frame[column.name]
    where = f"{source}: column {column.name}"
    _refuse(frame, values.isna(), f"{where} has no value")
    _refuse(frame, ~np.isfinite(values), f"{where} is not finite", values)
    _refuse(frame, values < 0, f"{where} is negative", values)
    _refuse(frame, values > MAX_VALUE, f"{where} is above {MAX_VALUE:g}", values)
    if column.whole:
        _refuse(frame, values % 1 != 0, f"{where} is no whole number", values)


def _refuse(
    frame: pd.DataFrame, bad: "pd.Series[bool]", problem: str, values: "pd.Series[Any] | None" = None
) -> None:
    """Raise FeaturesError with the first bad row, its customer, its value if given, and how many follow."""
    if not bad.any():
        return
    row = int(bad.idxmax())  # type: ignore[call-overload]
    value = "" if values is None else f" ({_shown(values[row])})"
    others = int(bad.sum()) - 1
    more = f", and for {others} more" if others else ""
    raise FeaturesError(f"{problem} for customer {frame.loc[row, CUSTOMER_ID]} in row {row}{value}{more}.")


def _shown(value: object) -> str:
    return repr(value.item() if isinstance(value, np.generic) else value)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")
