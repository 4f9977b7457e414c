"""The outlook: who will buy again within 90 days, how well that was told before, and what marts read.

    python -m ml.outlook [--as-of DAY]

Predictions stay in the table with their as-of date, so that fct_outlook_backtest can compare them with what
came: of each month those of its first as-of date, and the newest.
"""

import datetime as dt
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import typer
from scipy.stats import rankdata  # type: ignore[import-untyped]

from include.settings import run_command
from include.warehouse import Warehouse, get_warehouse
from ml.features import CUSTOMER_ID, FEATURES_TABLE
from ml.purchases import (
    DAY,
    HORIZON_DAYS,
    MbgNbd,
    OutlookRefusedError,
    PurchaseModel,
    Purchases,
    purchases,
)

log = logging.getLogger(__name__)

TABLE = "analytics.customer_outlook_predictions"
ORIGINS = 3
DAYS_BETWEEN_ORIGINS = 31
GROUPS = 10
RESAMPLES = 500

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Figure:
    """A measured figure and its 95 % interval, from resampled customers."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True)
class Holdout:
    """What was told at the end of a day, compared with the 90 days that followed.

    `auc`: how often, of one customer who came again and one who did not, the former was ranked first.
    `calibration_error`: mean distance of promised and actual shares over ten groups by probability.
    `buyers`, `purchases`: promised divided by actual. `mbg_auc`, `mbg_purchases`: the same of MBG/NBD on
    purchase days; `recency_auc` of the last purchase day alone.
    """

    origin: dt.date
    customers: int
    auc: Figure
    calibration_error: Figure
    buyers: Figure
    purchases: Figure
    mbg_auc: float
    mbg_purchases: float
    recency_auc: float


@dataclass(frozen=True)
class Outlook:
    """The model, its predictions by customer_id, and the walk-forward report, the newest origin first."""

    as_of: dt.date
    model: PurchaseModel
    predictions: pd.DataFrame
    report: tuple[Holdout, ...]


def outlook(days: pd.DataFrame, as_of: dt.date | None = None, *, look_back: bool = True) -> Outlook:
    """Fit, predict and, unless told not to, look back; `days` as for `purchases`.

    Raises OutlookRefusedError.
    """
    known = purchases(days, as_of)
    model = PurchaseModel.fit(known)
    report = tuple(walk_forward(days, known.as_of)) if look_back else ()
    return Outlook(known.as_of, model, model.predict(known), report)


def load_days(warehouse: Warehouse, table: str = FEATURES_TABLE) -> pd.DataFrame:
    """Return customer_id and day of every purchase day of the customers in the table of features."""
    with warehouse.session() as session:
        rows = session.execute(
            "select distinct orders.customer_id, orders.order_date"  # noqa: S608 (our names)
            " from analytics.fct_orders as orders"
            f" inner join {table} as customers on orders.customer_id = customers.customer_id"
        )
    return pd.DataFrame.from_records(rows, columns=[CUSTOMER_ID, DAY])


def walk_forward(days: pd.DataFrame, as_of: dt.date) -> Iterator[Holdout]:
    """Yield a holdout for each of the last three origins, 31 days apart, whose 90 days have passed.

    At an origin nothing later is known; one with too little history ends the walk.
    """
    known = purchases(days, as_of)
    for number in range(ORIGINS):
        origin = as_of - dt.timedelta(days=HORIZON_DAYS + number * DAYS_BETWEEN_ORIGINS)
        try:
            yield holdout(days, known, origin)
        except OutlookRefusedError:
            return


def holdout(days: pd.DataFrame, known: Purchases, origin: dt.date) -> Holdout:
    """Fit up to a day, and measure on the 90 days after it; raises OutlookRefusedError."""
    then = known.until(origin)
    promised = PurchaseModel.fit(then).predict(then)
    came = known.counts_after(origin, HORIZON_DAYS, promised.index).to_numpy(float)
    probability, expected = (promised[name].to_numpy() for name in promised.columns)
    resamples = _resamples(len(came))
    mbg, recency, all_days = _mbg_nbd(days, origin, promised.index)
    return Holdout(
        origin=origin,
        customers=len(came),
        auc=_figure(lambda rows: auc(came[rows] > 0, probability[rows]), resamples),
        calibration_error=_figure(
            lambda rows: calibration_error(came[rows] > 0, probability[rows]), resamples
        ),
        buyers=_figure(lambda rows: _ratio(probability[rows], came[rows] > 0), resamples),
        purchases=_figure(lambda rows: _ratio(expected[rows], came[rows]), resamples),
        mbg_auc=auc(came > 0, mbg["probability"].to_numpy()),
        mbg_purchases=_ratio(mbg["expected_purchases"].to_numpy(), all_days),
        recency_auc=auc(came > 0, recency),
    )


def auc(came: npt.NDArray[np.bool_], probability: Floats) -> float:
    """Return the area under the ROC curve; not a number where all came or nobody did.

    By Mann and Whitney's U, which is that area times the pairs: scikit-learn's checks took 20 times as long.
    """
    buyers = int(came.sum())
    pairs = buyers * (len(came) - buyers)
    if not pairs:
        return float("nan")
    return float((rankdata(probability)[came].sum() - buyers * (buyers + 1) / 2) / pairs)


def calibration_error(came: npt.NDArray[np.bool_], probability: Floats) -> float:
    """Return the mean distance of promised and actual shares over ten groups of equal size."""
    groups = np.array_split(np.argsort(probability, kind="stable"), GROUPS)
    distances = [len(rows) * abs(probability[rows].mean() - came[rows].mean()) for rows in groups]
    return float(sum(distances) / len(came))


def _ratio(promised: Floats, actual: npt.NDArray[Any]) -> float:
    return float(promised.sum() / actual.sum()) if actual.sum() else float("nan")


def _resamples(customers: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng(0).integers(0, customers, (RESAMPLES, customers))


def _figure(measure: Any, resamples: npt.NDArray[np.int64]) -> Figure:
    low, high = np.nanquantile([measure(rows) for rows in resamples], [0.025, 0.975])
    return Figure(measure(np.arange(resamples.shape[1])), float(low), float(high))


def _mbg_nbd(
    days: pd.DataFrame, origin: dt.date, customers: pd.Index
) -> tuple[pd.DataFrame, Floats, npt.NDArray[Any]]:
    """Return MBG/NBD's predictions, the last purchase days, and the purchase days that came."""
    known = days.assign(**{DAY: pd.to_datetime(days[DAY])}).drop_duplicates()
    age = (pd.Timestamp(origin) - known[DAY]).dt.days
    of_then = age[age >= 0].groupby(known[CUSTOMER_ID])
    last, first = of_then.min().to_numpy(float), of_then.max().to_numpy(float)
    behaviour = (of_then.size().to_numpy(float) - 1, first - last, first)
    came = age[(age < 0) & (age >= -HORIZON_DAYS)].groupby(known[CUSTOMER_ID]).size()
    predicted = MbgNbd.fit(*behaviour).predict(*behaviour)
    return predicted, -last, came.reindex(customers, fill_value=0).to_numpy()


def store(made: Outlook, warehouse: Warehouse) -> None:
    """Put the predictions into TABLE, in place of earlier ones of the same as-of date, in one transaction."""
    as_of = made.as_of.isoformat()
    columns = {
        CUSTOMER_ID: made.predictions.index.tolist(),
        "probability": [f"{one:.6f}" for one in made.predictions["probability"]],
        "expected_purchases": [f"{one:.6f}" for one in made.predictions["expected_purchases"]],
    }
    constants = {"as_of_date": as_of, "horizon_days": HORIZON_DAYS, "predicted_at": datetime.now(UTC)}
    with warehouse.session() as session, session.transaction():
        session.execute(f"delete from {TABLE} where as_of_date = cast(? as date)", [as_of])  # noqa: S608
        session.insert_rows(TABLE, columns, constants=constants)
        session.execute(_ONE_A_MONTH)


# Else a weekly run would keep four times what a monthly back-test reads.
_ONE_A_MONTH = f"""
delete from {TABLE}
where
    as_of_date < (select max(as_of_date) from {TABLE})
    and as_of_date not in (
        select min(as_of_date) from {TABLE} group by date_trunc('month', as_of_date)
    )
"""  # noqa: S608 (our names)


def predict(warehouse: Warehouse, as_of: dt.date | None = None, *, look_back: bool = False) -> Outlook | None:
    """Make the outlook and store it; None, with the reason in the log, where the orders are too few."""
    try:
        made = outlook(load_days(warehouse), as_of, look_back=look_back)
    except OutlookRefusedError as error:
        log.warning("%s", error)
        return None
    store(made, warehouse)
    log.info("%s holds %d customers as of %s.", TABLE, len(made.predictions), made.as_of)
    return made


def card_section(made: Outlook | OutlookRefusedError | None) -> str:
    """Return the model card's section: the model, and its walk-forward report."""
    if made is None:
        return "No outlook: the features came from a file, which holds no purchase days."
    if isinstance(made, OutlookRefusedError):
        return str(made)
    model, promised = made.model, made.predictions
    text = (
        f"As of {made.as_of}: {promised['probability'].sum():.0f} of {len(promised)} customers are expected"
        f" to buy again within {HORIZON_DAYS} days, {promised['expected_purchases'].sum():.0f} purchases in"
        f" all (purchase days, several in a row counted once). Visit rates: shape {model.r:.3f}, rate"
        f" {model.alpha:.1f} days; a visit counts half after {model.half_life:.0f} days. The model knows no"
        " season: its level is that of the history."
    )
    if not made.report:
        return f"{text}\n\nThe history is too short to compare an earlier outlook with what came."
    header = ["Known up to", "Customers", "AUC", "Calibration error", "Buyers", "Purchases"]
    rows = [
        (one.origin, one.customers, one.auc, one.calibration_error, one.buyers, one.purchases)
        for one in made.report
    ]
    rivals = [
        f"{one.origin}: AUC {one.mbg_auc:.3f}, purchases {one.mbg_purchases:.2f};"
        f" recency alone: AUC {one.recency_auc:.3f}"
        for one in made.report
    ]
    lines = [header, ["---"] * len(header), *rows]
    table = "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)
    return (
        f"{text}\n\nWhat it would have told at earlier days, compared with the {HORIZON_DAYS} days after each"
        " (buyers and purchases: promised divided by actual; 95 % intervals from resampled customers):\n\n"
        f"{table}\n\nMBG/NBD on purchase days, for comparison:\n\n" + "\n".join(f"- {one}" for one in rivals)
    )


def record(made: Outlook | OutlookRefusedError | None) -> dict[str, Any]:
    """Return the same for the version's metrics file."""
    if not isinstance(made, Outlook):
        return {"refused": card_section(made)}
    return {
        "as_of_date": made.as_of.isoformat(),
        "horizon_days": HORIZON_DAYS,
        "model": asdict(made.model),
        "walk_forward": [{**asdict(one), "origin": one.origin.isoformat()} for one in made.report],
    }


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    as_of: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Last day that is known; default: the latest order's."),
    ] = None,
) -> None:
    """Predict who will buy again and store it; then build `tag:segment_marts` with dbt."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    made = predict(get_warehouse(role="transformer"), as_of.date() if as_of else None, look_back=True)
    if made is None:  # which the log says
        raise typer.Exit(1)
    typer.echo(card_section(made))


if __name__ == "__main__":
    run_command(app)
