"""The insights of a million customers: a page, a report and the snapshot's size, against those of 300."""

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import duckdb
from fastapi.testclient import TestClient

from include.insights.report import write_report
from include.insights.web import Reader, create_app
from include.settings import Settings
from tests.bench.measure import Ratio, seconds
from tests.insights.snapshots import TABLES, write_snapshot

MILLION = 1_000_000
CUSTOMER_TABLES = {  # with the amount that differs from customer to customer
    "customers": "net_sales_amount",
    "fct_at_risk_customers": "net_sales_last_365_days",
    "fct_purchase_occasions": "net_sales_amount",
    "fct_rfm_history": "monetary",
}
PAGE_LIMIT_MS = 300


def bench_insights(folder: Path) -> Iterator[Ratio]:
    """Yield times of page and report of a snapshot of a million customers, and its size."""
    location = write_snapshot(folder / "insights")
    _enlarge(folder / "insights")
    settings = Settings(insights_location=location, local_dir=folder, duckdb_path=folder / "none")
    app = create_app(lambda: Reader("bench", may_export=True), lambda _who, _what: None, lambda: settings)
    with TestClient(app) as client:
        first = _page(client, "/")
        # Each of another period, so that nothing of it is kept.
        days = [f"/?period=custom&first=2019-10-0{day}&last=2019-12-31&compare=1" for day in range(1, 8)]
        pages = [_page(client, one) * 1000 for one in days]
    yield Ratio(
        f"a page of a million customers / {PAGE_LIMIT_MS} ms",
        median(pages) / PAGE_LIMIT_MS,
        1,
        True,
        f"{median(pages):.0f} ms, the first one {first * 1000:.0f} ms",
    )
    period = {"period": "custom", "first": "2019-09-15", "last": "2019-12-31", "compare": "1"}
    report = seconds(lambda: write_report(location, period, str(folder / "report.html")))
    yield Ratio("its report / 10 s", report / 10, 1, True, f"{report:.1f} s")
    size = sum(path.stat().st_size for path in (folder / "insights").rglob("*.parquet"))
    yield Ratio("its snapshot / 100 bytes a customer", size / MILLION / 100, 1, True, f"{size / 1e6:.0f} MB")


def _page(client: TestClient, address: str) -> float:
    return seconds(lambda: client.get(address).raise_for_status())


def _enlarge(folder: Path) -> None:
    """Repeat the customers until there are a million; the tables that sum them up stay as they are."""
    pointer = json.loads((folder / "latest.json").read_text())
    copies = -(-MILLION // len(TABLES["customers"]()))
    with duckdb.connect() as connection:
        for name, amount in CUSTOMER_TABLES.items():
            file = folder / pointer["snapshot_id"] / f"{name}.parquet"
            connection.execute(f"create or replace table one as from '{file}'")
            connection.execute(
                f"copy (select * exclude (copy) replace (customer_id + 1000 * copy as customer_id,"
                f" ({amount} * (0.5 + random()))::decimal(18, 2) as {amount})"
                f" from one, range({copies}) as copies (copy)) to '{file}' (compression zstd)"
            )
