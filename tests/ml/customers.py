"""Customers for the tests: made-up ones with five clear ways of shopping, and the real ones."""

from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from ml.features import CustomerFeatures, check_features

# share, then medians: days since the last order, orders, order value, days from the first order to the last
_GROUPS = (
    (0.10, 120, 4, 400, 3),
    (0.25, 270, 10, 150, 2),
    (0.20, 170, 2, 45, 0.3),
    (0.15, 25, 45, 160, 200),
    (0.30, 45, 12, 150, 20),
)
_SPREAD = 0.2


def made_up_customers(customers: int = 600, seed: int = 3) -> pd.DataFrame:
    """Return a features frame as it would lie in a file, in random order of customers."""
    random = np.random.default_rng(seed)
    shares = np.array([group[0] for group in _GROUPS])
    counts = np.floor(shares * customers).astype(int)
    counts[-1] += customers - counts.sum()
    group = np.repeat(np.arange(len(_GROUPS)), counts)
    medians = np.array([one[1:] for one in _GROUPS])[group]
    recency, orders, order_value, span = (medians * np.exp(_SPREAD * random.normal(size=medians.shape))).T
    frequency = np.maximum(orders.round(), 1)
    frame = pd.DataFrame(
        {
            "customer_id": random.permutation(customers) + 12_000,
            "recency_days": recency.round().astype("int64"),
            "frequency": frequency.astype("int64"),
            "monetary": (frequency * order_value).round(2),
            "buying_span_days": np.where(frequency > 1, span.round(), 0).astype("int64"),
        }
    )
    return frame.sample(frac=1, random_state=seed, ignore_index=True)


def real_customers(folder: Path) -> CustomerFeatures:
    """Return the features of the shop's real customers, with each line's money rounded to cents."""
    sql = _REAL_FEATURES.format(sales=folder / "Online_Sales.csv", coupons=folder / "Discount_Coupon.csv")
    with duckdb.connect() as connection:
        return check_features(connection.execute(sql).df(), str(folder))


_REAL_FEATURES = """
with lines as (
    select CustomerID as customer_id, Transaction_ID as transaction_id,
        cast(strptime(Transaction_Date, '%m/%d/%Y') as date) as transaction_date,
        Product_Category as category, Coupon_Status as coupon_status,
        cast(Quantity * cast(Avg_Price as decimal(18, 2)) as decimal(18, 2)) as gross_sales_amount
    from read_csv('{sales}', header = true, types = {{'Transaction_Date': 'varchar'}})
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
    date_diff('day', max(transaction_date), (select max(transaction_date) from lines)) as recency_days,
    count(distinct transaction_id) as frequency,
    sum(net_sales_amount) as monetary,
    date_diff('day', min(transaction_date), max(transaction_date)) as buying_span_days
from net
group by customer_id
"""
