"""The newest price and article: from the warehouse where that takes no time, else from the snapshot.

A DuckDB file lets in one process at a time, so it is opened for a moment only; while another process holds
it, and on Snowflake, whose virtual warehouse a look would wake, the snapshot's last value is shown with its
age.
"""

import logging
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import duckdb

from include.insights.snapshot import Snapshot
from include.settings import Settings
from include.warehouse.duckdb_file import connected

log = logging.getLogger(__name__)

BUDGET_SECONDS = 1.0
KEPT_SECONDS = 10  # many readers cause one look
PRICE = "select price_usd, event_timestamp from streaming.bitcoin_prices_live where coin = 'bitcoin'"
NEWS = "select headline, event_timestamp from streaming.news_live"
NEWEST = " order by event_timestamp desc limit 1"


@dataclass(frozen=True)
class Live:
    """The newest price (USD) and headline, each with the time (UTC) it is of; None where there is none."""

    price_usd: float | None = None
    price_at: datetime | None = None
    headline: str | None = None
    headline_at: datetime | None = None
    source: str = "snapshot"

    def as_json(self) -> dict[str, Any]:
        """Return it with ages in seconds, as of now."""
        now = datetime.now(UTC)
        return {
            "price_usd": self.price_usd,
            "price_age_seconds": _age(now, self.price_at),
            "headline": self.headline,
            "headline_age_seconds": _age(now, self.headline_at),
            "source": self.source,
        }


def _age(now: datetime, then: datetime | None) -> int | None:
    return None if then is None else max(0, round((now - then).total_seconds()))


def newest(settings: Settings, snapshot: Snapshot) -> Live:
    """Return the newest values, at most KEPT_SECONDS old where the warehouse could be read."""
    return _newest(settings, snapshot, int(time.monotonic() // KEPT_SECONDS))


@lru_cache(maxsize=1)
def _newest(settings: Settings, snapshot: Snapshot, _tick: int) -> Live:
    found = _from_warehouse(settings) if settings.warehouse == "duckdb" else None
    return found or of_snapshot(snapshot)


def of_snapshot(snapshot: Snapshot) -> Live:
    """Return the snapshot's last values."""
    prices = _first(
        snapshot,
        "bitcoin_hourly",
        "select close_price_usd, last_observed_at from bitcoin_hourly where coin = 'bitcoin' order by"
        " event_hour desc limit 1",
    )
    news = _first(
        snapshot,
        "news_latest",
        "select headline, published_at from news_latest order by published_at desc limit 1",
    )
    price = prices[0] if prices else {"close_price_usd": None, "last_observed_at": None}
    article = news[0] if news else {"headline": None, "published_at": None}
    return Live(
        None if price["close_price_usd"] is None else float(price["close_price_usd"]),
        price["last_observed_at"],
        article["headline"],
        article["published_at"],
    )


def _first(snapshot: Snapshot, table: str, sql: str) -> list[dict[str, Any]]:
    return snapshot.query(sql) if table in snapshot.tables else []


def _from_warehouse(settings: Settings) -> Live | None:
    """Return what the DuckDB file holds; None where it is not there, held by another process, or too slow."""
    if not settings.duckdb_path.exists():
        return None
    try:
        connection = connected(settings.duckdb_path, read_only=True)
    except duckdb.Error:
        return None
    timer = threading.Timer(BUDGET_SECONDS, connection.interrupt)
    timer.start()
    try:
        connection.execute("set timezone = 'UTC'")
        price = connection.execute(PRICE + NEWEST).fetchone() or (None, None)
        article = connection.execute(NEWS + NEWEST).fetchone() or (None, None)
    except duckdb.Error as error:
        log.info("The live tile shows the snapshot: %s", type(error).__name__)
        return None
    finally:
        timer.cancel()
        connection.close()
    return Live(None if price[0] is None else float(price[0]), price[1], article[0], article[1], "warehouse")
