"""Customers for the tests: made-up ones with five clear ways of shopping, and the real ones."""

from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from ml.features import CustomerFeatures, check_features

# share, then medians: days since the last order, purchase days, revenue of one, days between two of them
_GROUPS = (
    (0.15, 120, 1, 2_600, 0),
    (0.25, 270, 2.2, 1_100, 20),
    (0.20, 140, 1, 90, 0),
    (0.15, 12, 9, 1_250, 30),
    (0.25, 60, 3, 900, 40),
)
_SPREAD = 0.2
ORDERS_A_DAY = 6


def made_up_customers(customers: int = 600, seed: int = 3) -> pd.DataFrame:
    """Return a features frame as it would lie in a file, in random order of customers."""
    random = np.random.default_rng(seed)
    shares = np.array([group[0] for group in _GROUPS])
    counts = np.floor(shares * customers).astype(int)
    counts[-1] += customers - counts.sum()
    group = np.repeat(np.arange(len(_GROUPS)), counts)
    medians = np.array([one[1:] for one in _GROUPS])[group]
    recency, days, value, gap = (medians * np.exp(_SPREAD * random.normal(size=medians.shape))).T
    days = np.where(medians[:, 1] > 1, np.maximum(days.round(), 2), 1)
    frame = pd.DataFrame(
        {
            "customer_id": random.permutation(customers) + 12_000,
            "recency_days": recency.round().astype("int64"),
            "frequency": (days * ORDERS_A_DAY).astype("int64"),
            "purchase_days": days.astype("int64"),
            "monetary": (days * value).round(2),
            "buying_span_days": ((days - 1) * gap).round().astype("int64"),
        }
    )
    return frame.sample(frac=1, random_state=seed, ignore_index=True)


def real_customers(folder: Path, as_of: str = "2019-12-31", currency: int = 1) -> CustomerFeatures:
    """Return the features of a folder's customers by the orders up to a day, money in whole cents.

    `currency` multiplies the money.
    """
    files = {"sales": folder / "Online_Sales.csv", "coupons": folder / "Discount_Coupon.csv"}
    sql = _REAL_FEATURES.format(**files, as_of=as_of, currency=currency)
    with duckdb.connect() as connection:
        return check_features(connection.execute(sql).df(), str(folder))


_REAL_FEATURES = """
with lines as (
    select CustomerID as customer_id, Transaction_ID as transaction_id,
        cast(strptime(Transaction_Date, '%m/%d/%Y') as date) as transaction_date,
        Product_Category as category, Coupon_Status as coupon_status,
        cast(Quantity * cast(Avg_Price as decimal(18, 2)) as decimal(18, 2)) as gross_sales_amount
    from read_csv('{sales}', header = true, types = {{'Transaction_Date': 'varchar'}})
    where strptime(Transaction_Date, '%m/%d/%Y') <= date '{as_of}'
),
net as (
    select lines.*,
        gross_sales_amount - case
            when coupon_status = 'Used'
                then cast(gross_sales_amount * coalesce(Discount_pct, 0) * 0.01 as decimal(18, 2))
            else 0
        end as net_sales_amount
    from lines
    left join read_csv('{coupons}', header = true) as coupons
        on coupons.Product_Category = lines.category
        and coupons.Month = strftime(lines.transaction_date, '%b')
)
select
    customer_id,
    date '{as_of}' as as_of_date,
    date_diff('day', max(transaction_date), date '{as_of}') as recency_days,
    count(distinct transaction_id) as frequency,
    count(distinct transaction_date) as purchase_days,
    sum(net_sales_amount) * {currency} as monetary,
    date_diff('day', min(transaction_date), max(transaction_date)) as buying_span_days
from net
group by customer_id
"""
