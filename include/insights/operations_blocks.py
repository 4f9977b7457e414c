"""Blocks about the market's feeds and about trust: rejected rows, tests, the model's gate, freshness."""

from urllib.parse import urlsplit

from include.insights import charts
from include.insights.block import Block, Chart, Column, Context, Row
from include.insights.formats import shown

HOURS = "The newest seven days"


def bitcoin(context: Context) -> Block:
    """Return the Bitcoin price by hour."""
    rows = context.rows(
        """
        select event_hour, coin, open_price_usd, high_price_usd, low_price_usd, close_price_usd, change_pct
        from bitcoin_hourly
        where coin = 'bitcoin'
        order by event_hour
        """
    )
    made_up = " The prices are simulated." if context.snapshot.manifest.simulated_prices else ""
    said = f"The last hour closed at {rows[-1]['close_price_usd']:,.2f} US dollars.{made_up}" if rows else ""
    return Block(
        key="bitcoin",
        title="Bitcoin",
        sentence=said or "The Bitcoin price by hour.",
        definition=(
            "Price in US dollars by hour (UTC) of the provider's own time. It stands beside the sales and is"
            " not joined with them."
        ),
        scope=HOURS,
        columns=(
            Column("event_hour", "Hour", "time"),
            Column("open_price_usd", "Open, USD", "ratio"),
            Column("high_price_usd", "High, USD", "ratio"),
            Column("low_price_usd", "Low, USD", "ratio"),
            Column("close_price_usd", "Close, USD", "ratio"),
        ),
        rows=tuple(rows),
        empty="No price has been stored yet: start the feeds.",
        chart=Chart(
            charts.lines(
                [f"{row['event_hour']:%d %b %H:%M}" for row in rows],
                [("Close, USD", [row["close_price_usd"] for row in rows])],
                unit="count",
                floats=True,
            ),
            "Closing price of each hour in US dollars",
        ),
        rows_shown=24,
    )


def news(context: Context) -> Block:
    """Return the newest articles; what they say comes from others and is never markup here."""
    rows = context.rows(
        "select published_at, source_name, headline, url from news_latest order by published_at desc,"
        " headline"
    )
    for row in rows:
        row["url"] = web_address(row["url"])
        row["site"] = urlsplit(row["url"]).hostname or ""
    return Block(
        key="news",
        title="News",
        sentence=f"The newest {len(rows)} articles of the feed."
        if rows
        else "The newest articles of the feed.",
        definition=(
            "Headlines as the news feed delivers them, newest first. A headline's link opens where Insights"
            " has a tab of its own: inside Airflow's frame it cannot."
        ),
        scope="The newest 20",
        columns=(
            Column("published_at", "Published", "time"),
            Column("source_name", "Source"),
            Column("headline", "Headline", "link"),
            Column("site", "Site"),
            Column("url", "Address", in_page=False),
        ),
        rows=tuple(rows),
        empty="No article has been stored yet: start the feeds.",
        links={"headline": "url"},
        rows_shown=6,
        open=True,
    )


def web_address(text: str | None) -> str:
    """Return an address that a reader may follow: http or https with a host; anything else is nothing."""
    try:
        parts = urlsplit((text or "").strip())
    except ValueError:
        return ""
    return (text or "").strip() if parts.scheme in {"http", "https"} and parts.hostname else ""


def rejected(context: Context) -> Block:
    """Return the rows of the files that could not be used."""
    rows = context.rows(
        "select dataset, reason, is_repeated, row_count, value_at_list from quarantine_summary order by"
        " is_repeated, value_at_list desc nulls last, row_count desc, dataset, reason"
    )
    lost = [row for row in rows if not row["is_repeated"]]
    count = sum(row["row_count"] for row in lost)
    value = sum(row["value_at_list"] or 0 for row in lost)
    said = (
        f"{count:,} rows of the files could not be used."
        if lost
        else "Only rows that repeat others were left out."
    )
    if value:
        said += f" Order lines among them are worth {context.money(value)} at list price."
    for row in rows:
        row["is_lost"] = "no, repeated" if row["is_repeated"] else "yes"
    return Block(
        key="rejected",
        title="Rejected rows",
        sentence=said if rows else "Every row of the files was used.",
        definition=(
            "Rows that break a rule of their data set (what is no number or date, an unknown product, a"
            " repetition) are kept aside with the reason. Their value at list price is quantity times price"
            " before discount, of order lines where both can be read."
        ),
        scope="All files",
        columns=(
            Column("dataset", "File"),
            Column("reason", "Reason"),
            Column("row_count", "Rows", "count"),
            Column("value_at_list", "Value at list price", "amount"),
            Column("is_lost", "Lost"),
        ),
        rows=tuple(rows),
        empty="Every row of the files was used.",
        rows_shown=12,
        open=True,
    )


def tests(context: Context) -> Block:
    """Return dbt's nodes that fail, flake or are slow."""
    rows = context.rows(
        """
        select
            node_name, resource_type, run_count, failed_count, has_failed_last, is_flaky,
            is_slower_than_usual, last_run_at
        from node_health
        where has_failed_last or is_flaky or is_slower_than_usual
        order by has_failed_last desc, is_flaky desc, node_name
        """
    )
    for row in rows:
        row["state"] = _state(row)
    failing, flaky = (sum(bool(row[key]) for row in rows) for key in ("has_failed_last", "is_flaky"))
    known = len(context.rows("select node_name from node_health"))
    said = f"Of {known:,} models and tests {failing} failed in the last run and {flaky} are flaky."
    return Block(
        key="tests",
        title="Tests",
        sentence=said,
        definition=(
            "Models, seeds, snapshots and tests of dbt over their newest runs. Flaky: passed right after a"
            " failure twice or more. Slower: the last run took much longer than usual."
        ),
        scope="The newest 30 runs of each",
        columns=(
            Column("node_name", "Name"),
            Column("resource_type", "Kind"),
            Column("state", "State"),
            Column("failed_count", "Failed", "count"),
            Column("run_count", "Of runs", "count"),
            Column("last_run_at", "Last run", "time"),
        ),
        rows=tuple(rows),
        empty=f"Of {known:,} models and tests none fails, is flaky or slower than usual."
        if known
        else "dbt has not run yet.",
        rows_shown=12,
        open=True,
    )


def _state(row: Row) -> str:
    states = [
        ("fails", "has_failed_last"),
        ("flaky", "is_flaky"),
        ("slower than usual", "is_slower_than_usual"),
    ]
    return ", ".join(word for word, key in states if row[key])


def gate(context: Context) -> Block:
    """Return what the gate said of the model in use."""
    rows = context.rows(
        "select version, is_in_use, fitted_at, as_of_date, passed, failed_checks, overridden from model_gate"
        " order by is_in_use desc, fitted_at desc"
    )
    for row in rows:
        row["use"] = "in use" if row["is_in_use"] else "not in use"
        row["outcome"] = "passed" if row["passed"] else "failed"
    said = _gate_sentence(rows[0]) if rows else ""
    return Block(
        key="gate",
        title="The segments' model",
        sentence=said or "What the gate said of the segments' model.",
        definition=(
            "Before a model gives customers their segments, a gate checks that the segments are what their"
            " names say, are stable and not too small. A person may override checks by name; then they stand"
            " here."
        ),
        scope="The model in use and the newest others",
        columns=(
            Column("use", "Model"),
            Column("outcome", "Gate"),
            Column("fitted_at", "Fitted", "time"),
            Column("as_of_date", "As of", "day"),
            Column("failed_checks", "Failed checks"),
            Column("overridden", "Overridden"),
            Column("version", "Version", in_page=False),
        ),
        rows=tuple(rows),
        empty="No model is in use yet: run the DAG segment_retraining.",
        rows_shown=12,
        open=True,
    )


def _gate_sentence(first: Row) -> str:
    if not first["is_in_use"]:
        return "No model is in use; the newest ones wait for their gate."
    if first["overridden"]:
        return f"The model in use was let through by a person, against: {first['overridden']}."
    return f"The model in use, {first['version']}, has {first['outcome']} its gate."


def freshness(context: Context) -> Block:
    """Return how new the data of each source is."""
    rows = context.rows("select dataset, newest_day, newest_time, loaded_at from freshness order by dataset")
    for row in rows:
        row["newest"] = (
            shown(row["newest_time"], "time") if row["newest_time"] else shown(row["newest_day"], "day")
        )
    written = shown(context.written_at, "time")
    return Block(
        key="freshness",
        title="Freshness",
        sentence=f"All figures but the live ones were written at {written}.",
        definition=(
            "The newest day or time that each data set is about, and when it was loaded. Periods end at the"
            " newest day of the sales, not today."
        ),
        scope="This snapshot",
        columns=(
            Column("dataset", "Data set"),
            Column("newest", "Newest"),
            Column("loaded_at", "Loaded", "time"),
        ),
        rows=tuple(rows),
        empty="Nothing has been loaded.",
        rows_shown=12,
        open=True,
    )
