"""Purchase days for the tests: of shops whose parameters are known, and the real ones."""

from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

START = pd.Timestamp("2024-01-01")


def made_up_days(
    customers: int = 4000, days: int = 360, r: float = 0.6, alpha: float = 150.0, seed: int = 1
) -> pd.DataFrame:
    """Return customer_id and day of customers who buy at steady, gamma distributed rates; many never buy."""
    random = np.random.default_rng(seed)
    rates = random.gamma(r, 1 / alpha, customers)
    counts = random.poisson(rates * days)
    ids = np.repeat(np.arange(customers), counts)
    day = START + pd.to_timedelta(random.integers(0, days, len(ids)), unit="D")
    return pd.DataFrame({"customer_id": ids, "day": day}).drop_duplicates()


def dropping_out(
    customers: int = 400, days: int = 300, seed: int = 20
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return repeats, recency and age of customers as MBG/NBD has them (r 1.2, alpha 60, a 0.8, b 3)."""
    random = np.random.default_rng(seed)
    rows = []
    for _ in range(customers):
        age = int(random.integers(30, days))
        rate, leaves = random.gamma(1.2, 1 / 60.0), random.beta(0.8, 3.0)
        now, repeats, last = 0.0, 0, 0.0
        while random.random() >= leaves:
            now += random.exponential(1 / rate)
            if now > age:
                break
            repeats, last = repeats + 1, now
        rows.append((repeats, round(last), age))
    repeats_, recency, ages = np.array(rows, float).T
    return repeats_, recency, ages


def real_days(folder: Path) -> pd.DataFrame:
    """Return customer_id and day of the shop's real purchase days."""
    sql = (
        "select distinct CustomerID as customer_id, strptime(Transaction_Date, '%m/%d/%Y') as day"
        f" from read_csv('{folder / 'Online_Sales.csv'}', header = true,"
        " types = {'Transaction_Date': 'varchar'})"
    )
    with duckdb.connect() as connection:
        return connection.execute(sql).df()
