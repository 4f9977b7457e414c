"""What a run made: read from the warehouse, then shown to a person."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from include.ingestion.datasets import DATASETS
from include.warehouse import Session
from include.warehouse.duckdb import DuckDBWarehouse

# Quarantine models are views or tables of staging; the other schemas are shown whole.
_TABLES = """
select table_schema || '.' || table_name
from information_schema.tables
where (table_schema = 'raw' and list_contains(?, table_name))
   or (table_schema = 'staging' and table_name like '%quarantine%')
   or (table_schema = 'streaming' and table_type = 'BASE TABLE' and table_name <> 'kafka_offsets')
   or table_schema in ('analytics', 'snapshots')
order by list_position(['raw', 'streaming', 'staging', 'analytics', 'snapshots'], table_schema), table_name
"""

# A retried node has several results: the last one counts.
_TESTS = """
with last as (
    select status from raw.dbt_run_results
    where resource_type in ('test', 'unit_test') and completed_at >= ?
    qualify row_number() over (partition by node_id order by completed_at desc) = 1
)
select
    count(*) filter (status in ('pass', 'success')),
    count(*) filter (status = 'warn'),
    count(*) filter (status in ('fail', 'error')),
    count(*) filter (status not in ('pass', 'success', 'warn', 'fail', 'error'))
from last
"""

_WARNINGS = """
select split_part(node_id, '.', 3), message
from raw.dbt_run_results
where resource_type = 'test' and completed_at >= ?
qualify row_number() over (partition by node_id order by completed_at desc) = 1 and status = 'warn'
order by node_id
"""

_MONEY = """
select
    sum(net_sales_amount), sum(discount_amount), sum(gst_amount), sum(delivery_amount), sum(total_amount),
    count(distinct nullif(customer_id, -1)), (select count(*) from analytics.fct_orders)
from analytics.fct_sales
"""

# A feed without an event has no latency; the newest price is the live view's, not dbt's last run's.
_STREAMS = """
with latencies as (
    select kafka_topic, epoch(ingested_at - kafka_timestamp) as seconds
    from (
        select kafka_topic, ingested_at, kafka_timestamp from streaming.bitcoin_prices_raw
        union all
        select kafka_topic, ingested_at, kafka_timestamp from streaming.news_events_raw
    )
    where ingested_at >= ?
)
select kafka_topic, count(*), median(seconds), quantile_cont(seconds, 0.99)
from latencies
group by 1
order by 1
"""

_NEWEST_PRICE = """
select
    coin,
    price_usd,
    event_timestamp,
    exists (
        select 1
        from streaming.bitcoin_prices_raw as messages
        where
            messages.event_id = prices.event_id
            and json_extract_string(messages.payload, '$.simulated') = 'true'
    )
from streaming.bitcoin_prices_live as prices
order by event_timestamp desc
limit 1
"""


_SEGMENTS = """
select
    segment_name,
    count(*),
    sum(total_revenue),
    cast(sum(total_revenue) / nullif(sum(total_orders), 0) as decimal(18, 2)),
    avg(days_since_last_purchase)
from analytics.fct_customer_segments
group by segment_id, segment_name
order by segment_id
"""


# Money at risk, the largest first; rows that only repeat others come last.
_REJECTED = """
select dataset, reject_rule, row_count, gross_amount, is_repeated, row_count_of_unknown_amount
from staging.rejected_rows_by_rule
order by is_repeated, gross_amount desc, row_count desc, dataset, reject_rule
"""


@dataclass(frozen=True)
class Stage:
    """A part of the run and the seconds it took."""

    name: str
    seconds: float


@dataclass(frozen=True)
class DataTests:
    """How the dbt tests of the run ended."""

    passed: int
    warned: int
    failed: int
    skipped: int


@dataclass(frozen=True)
class Money:
    """Sums over all sales lines, in the shop's currency; revenue is net of discounts, before tax."""

    revenue: Decimal
    discount: Decimal
    gst: Decimal
    delivery: Decimal
    total: Decimal


@dataclass(frozen=True)
class StreamState:
    """New events of one topic, and the seconds from Kafka to the commit in the warehouse."""

    topic: str
    events: int
    median_latency: float
    p99_latency: float


@dataclass(frozen=True)
class Price:
    """A coin's newest price in US dollars; `is_simulated`: it was made up."""

    coin: str
    usd: Decimal
    observed_at: datetime
    is_simulated: bool


@dataclass(frozen=True)
class Segment:
    """A customer segment: size, revenue, revenue an order, mean days since the last order."""

    name: str
    customers: int
    revenue: Decimal
    average_order_value: Decimal
    recency_days: float


@dataclass(frozen=True)
class Rejected:
    """Rows of a data set that break one rule, and the gross value of the order lines among them.

    `is_repeated`: other rows say the same or are newer, so nothing is lost. `of_unknown_value` order lines
    have a quantity or price that cannot be read.
    """

    dataset: str
    rule: str
    rows: int
    gross: Decimal
    is_repeated: bool
    of_unknown_value: int


@dataclass(frozen=True)
class Summary:
    """The outcome of one run; without the streaming part, streams is empty and its figures are None."""

    rows: dict[str, int]
    tests: DataTests
    money: Money
    orders: int
    customers: int
    stages: tuple[Stage, ...]
    segments: tuple[Segment, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    streams: tuple[StreamState, ...] = ()
    newest_price: Price | None = None
    warnings: tuple[str, ...] = ()
    dead_letters: int | None = None


def read_warehouse(duckdb_path: Path, since: datetime, stages: Iterable[Stage] = ()) -> Summary:
    """Read the outcome from the DuckDB file; tests and events are those at or after since (aware).

    Raises duckdb.Error if a table of the star schema is missing.
    """
    with DuckDBWarehouse(duckdb_path).session() as session:
        names = [name for (name,) in session.execute(_TABLES, [list(DATASETS)])]
        rows = {name: _one_row(session, f"select count(*) from {name}")[0] for name in names}  # noqa: S608
        *amounts, customers, orders = _one_row(session, _MONEY)
        tests = DataTests(*_one_row(session, _TESTS, [since]))
        warnings = tuple(f"{name}: {said}" for name, said in session.execute(_WARNINGS, [since]))
        streams, price = _streaming(session, since) if "streaming.stg_bitcoin" in rows else ((), None)
        segments = _segments(session) if "analytics.fct_customer_segments" in rows else ()
        rejected = _rejected(session) if "staging.quarantine" in rows else ()
    money = Money(*(amount or Decimal(0) for amount in amounts))
    whole = (rows, tests, money, orders, customers, tuple(stages))
    return Summary(*whole, segments, rejected, streams, price, warnings)


def _segments(session: Session) -> tuple[Segment, ...]:
    return tuple(Segment(*row) for row in session.execute(_SEGMENTS))


def _rejected(session: Session) -> tuple[Rejected, ...]:
    return tuple(Rejected(*row) for row in session.execute(_REJECTED))


def _streaming(session: Session, since: datetime) -> tuple[tuple[StreamState, ...], Price | None]:
    streams = tuple(StreamState(*row) for row in session.execute(_STREAMS, [since]))
    price = _one_row(session, _NEWEST_PRICE)
    return streams, Price(*price) if price else None


def render(summary: Summary) -> RenderableType:
    """Return the summary as tables for a console."""
    tests, money = summary.tests, summary.money
    skipped = f", {tests.skipped:,} skipped" if tests.skipped else ""
    amounts = {
        "Revenue (net sales)": money.revenue,
        "Discount": money.discount,
        "GST": money.gst,
        "Delivery": money.delivery,
        "Total": money.total,
    }
    figures = {name: f"{amount:,.2f}" for name, amount in amounts.items()}
    figures |= {"Orders": f"{summary.orders:,}", "Customers": f"{summary.customers:,}"}
    return Group(
        _table("Rows", {name: f"{count:,}" for name, count in summary.rows.items()}),
        _table("Sales", figures),
        *([_rejected_table(summary.rejected)] if summary.rejected else []),
        *([_segment_table(summary.segments)] if summary.segments else []),
        *([_table("Streams", _stream_figures(summary))] if summary.streams else []),
        _table("Stage (seconds)", {stage.name: f"{stage.seconds:.1f}" for stage in summary.stages}),
        f"\nTests: {tests.passed:,} passed, {tests.warned:,} warned, {tests.failed:,} failed{skipped}",
        *(f"Warned: {warning}" for warning in summary.warnings),
    )


def _rejected_table(rejected: Iterable[Rejected]) -> Table:
    table = Table("Rejected", box=None, padding=(0, 2, 0, 0), header_style="bold")
    for header in ("Rows", "Gross value"):
        table.add_column(header, justify="right")
    for one in rejected:
        lost = " (nothing is lost)" if one.is_repeated else ""
        worth = f"{one.gross:,.2f}" + (f" + {one.of_unknown_value:,} unknown" if one.of_unknown_value else "")
        table.add_row(f"{one.dataset}: {one.rule}{lost}", f"{one.rows:,}", worth)
    table.add_section()
    return table


def _segment_table(segments: Iterable[Segment]) -> Table:
    table = Table("Segments", box=None, padding=(0, 2, 0, 0), header_style="bold")
    for header in ("Customers", "Revenue", "Per order", "Days since order"):
        table.add_column(header, justify="right")
    for one in segments:
        money = (f"{one.revenue:,.2f}", f"{one.average_order_value:,.2f}")
        table.add_row(one.name, f"{one.customers:,}", *money, f"{one.recency_days:.0f}")
    table.add_section()
    return table


def _stream_figures(summary: Summary) -> dict[str, str]:
    figures = {}
    for one in summary.streams:
        figures[f"{one.topic}: new events"] = f"{one.events:,}"
        latency = f"{one.median_latency:.1f} s, {one.p99_latency:.1f} s"
        figures[f"{one.topic}: Kafka to warehouse (median, p99)"] = latency
    if summary.dead_letters is not None:
        figures["Dead letters"] = f"{summary.dead_letters:,}"
    if price := summary.newest_price:
        origin = "simulated, USD" if price.is_simulated else "USD"
        figures[f"Newest price of {price.coin} ({origin})"] = (
            f"{price.usd:,.2f} at {price.observed_at:%H:%M:%S} UTC"
        )
    return figures


def _table(title: str, figures: dict[str, str]) -> Table:
    table = Table(title, "", box=None, padding=(0, 2, 0, 0), show_header=True, header_style="bold")
    table.columns[1].justify = "right"
    for name, figure in figures.items():
        table.add_row(name, figure)
    table.add_section()
    return table


def _one_row(session: Session, sql: str, values: Sequence[object] = ()) -> tuple[Any, ...]:
    """Return the first row, or an empty one where there is none."""
    return next(iter(session.execute(sql, values)), ())
