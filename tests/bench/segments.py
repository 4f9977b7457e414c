"""The customer segments: a training against plain K-means, a million customers against a tenth of them."""

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median

import duckdb
from sklearn.cluster import KMeans

from include.settings import DBT_PROJECT_DIR, PROJECT_ROOT
from ml.features import check_features
from ml.gate import CHECKS
from ml.registry import Registry
from ml.segmentation import DEFAULT_K, N_INIT, SegmentModel
from ml.training import train
from standalone.environment import VENV_BIN, airflow_environment
from tests.bench.measure import GIB, Ratio, peak_memory, quietly, seconds, settings_in
from tests.ml.customers import made_up_customers

REAL_CUSTOMERS = 1_468
MILLION = 1_000_000
GATE_STEPS = ("bootstrap", "seeds", "silhouette", "choice of k")

TRAIN_AND_RESEED = """
from include.warehouse import get_warehouse
from ml.features import load_features
from ml.gate import CHECKS
from ml.registry import open_registry
from ml.reseed import reseed
from ml.training import train
training = train(load_features(get_warehouse()), open_registry(), override=CHECKS)
print(reseed(), training.seconds)
"""

# Five ways of shopping, as the model finds them in real customers; about five orders each.
SHOP = """
create schema analytics;
create schema staging;
select setseed(0.5);
create table analytics.dim_customer as
select n + 1 as customer_id, 'F' as gender, 'Chicago' as location, 12::bigint as customer_tenure_months,
    n % 10 as kind, random() as chance
from range({customers}) as numbers(n);
create table analytics.fct_orders as
select
    row_number() over () as transaction_id,
    customer_id,
    date '2019-12-31' - cast(
        case when kind < 3 then 200 + 100 * random() when kind < 6 then 60 * random() else 330 * random() end
        as integer) as order_date,
    cast(round(case when kind = 9 then 400 when kind < 2 then 40 else 120 end * (0.6 + random()), 2)
        as decimal(18, 2)) as net_sales_amount,
    0::decimal(18, 2) as discount_amount
from (
    select unnest(range(case when kind < 2 then 1 + cast(2 * chance as bigint)
        when kind in (4, 5) then 8 + cast(12 * chance as bigint) else 3 + cast(3 * chance as bigint) end)),
        customer_id, kind
    from analytics.dim_customer
);
alter table analytics.fct_orders add column gross_sales_amount decimal(18, 2);
update analytics.fct_orders set gross_sales_amount = net_sales_amount;
create table analytics.fct_sales as
select customer_id, order_date as transaction_date, 'Category ' || cast(19 * random() as bigint) as category
from analytics.fct_orders;
"""


def bench_training(folder: Path, rounds: int = 3) -> Iterator[Ratio]:
    """A training, its gate excluded, against plain K-means on the same matrix; a small one in figures.

    At a million customers: at the real shop's 1,468 plain K-means takes 0.01 s, less than writing one file.
    """
    features = check_features(made_up_customers(MILLION), "made up")
    matrix = SegmentModel(n_init=1).fit(features.frame).standardize(features.frame)
    plain, ours = [], []
    for number in range(rounds):  # taken in turns, so that a slow moment of the machine meets both
        plain.append(seconds(lambda: KMeans(n_clusters=DEFAULT_K, n_init=N_INIT).fit(matrix)))
        training = train(features, Registry(folder / str(number)), override=CHECKS)
        ours.append(sum(spent for step, spent in training.seconds.items() if step not in GATE_STEPS))
    small = check_features(made_up_customers(REAL_CUSTOMERS), "made up")
    steps = train(small, Registry(folder / "small"), override=CHECKS).seconds
    spent = ", ".join(f"{step} {taken:.2f} s" for step, taken in steps.items())
    yield Ratio(
        "training without gate / plain KMeans, a million customers",
        median(ours) / median(plain),
        3,
        at_most=True,
        detail=f"{median(ours):.2f} s / {median(plain):.2f} s, median of {rounds};"
        f" {REAL_CUSTOMERS:,} customers: {sum(steps.values()):.1f} s ({spent})",
    )


def bench_million(folder: Path) -> Iterator[Ratio]:
    """Features, fit, assignment and reseed of a million customers, and of a tenth of them."""
    small, _ = _retrained(folder / "small", MILLION // 10)
    large, peak = _retrained(folder / "large", MILLION)
    yield Ratio("a million customers, s", large, 90, at_most=True, detail="features, fit, gate, reseed")
    yield Ratio(
        "a million / a tenth", large / small, 12, at_most=True, detail=f"{large:.1f} s / {small:.1f} s"
    )
    yield Ratio("peak memory, GiB", peak / GIB, 3, at_most=True, detail="of one process")


def _retrained(folder: Path, customers: int) -> tuple[float, int]:
    """Return wall-clock seconds and the peak memory (bytes) of what the DAG does."""
    folder.mkdir()
    settings = settings_in(folder)
    with duckdb.connect(str(settings.duckdb_path)) as connection:
        connection.execute(SHOP.format(customers=customers))
    env = {**airflow_environment(settings), "SEGMENTS_SEED_FILE": str(folder / "customer_segments.csv")}
    dbt = [str(VENV_BIN / "dbt"), "--log-path", str(folder), "run", "--target-path", str(folder / "target")]
    with peak_memory() as peak:
        taken = seconds(
            partial(quietly, [*dbt, "--select", "int_customer_features"], env, DBT_PROJECT_DIR)
        ) + seconds(partial(quietly, [sys.executable, "-c", TRAIN_AND_RESEED], env, PROJECT_ROOT))
    return taken, peak[0]
