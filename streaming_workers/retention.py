"""Deletes old events from the raw tables: `python -m streaming_workers.retention --days N`.

Deletes only events that staging holds, and never touches the stored offsets. Staging keeps what was deleted
here, since dbt never rebuilds it in full.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.console import Console

from include.settings import run_command
from include.warehouse import Session, get_warehouse

console = Console(highlight=False, soft_wrap=True)
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

STAGED_IN = {
    "streaming.bitcoin_prices_raw": "streaming.stg_bitcoin",
    "streaming.news_events_raw": "streaming.stg_news",
}


@dataclass(frozen=True)
class Deletion:
    """The result for one raw table; `kept` are old events that staging does not hold."""

    table: str
    deleted: int
    kept: int
    missing: str | None = None


@app.command()
def delete_old(
    days: Annotated[int, typer.Option(min=1, help="Keep what was stored in the last so many days.")],
) -> None:
    """Delete events that were stored more than so many days ago and that staging holds."""
    with get_warehouse(role="streamer").session() as session:
        deletions = delete_before(session, datetime.now(UTC) - timedelta(days=days))
    for one in deletions:
        if one.missing:
            console.print(f"{one.table}: nothing deleted, since there is no {one.missing}")
        else:
            console.print(f"{one.table}: {one.deleted} deleted, {one.kept} old ones kept (not yet staged)")


def delete_before(session: Session, limit: datetime) -> list[Deletion]:
    """Delete staged events stored before `limit` from every raw table, all or nothing."""
    tables = _tables(session)
    with session.transaction():
        return [_delete(session, tables, raw, staged, limit) for raw, staged in STAGED_IN.items()]


def _delete(session: Session, tables: set[str], raw: str, staged: str, limit: datetime) -> Deletion:
    if missing := next((table for table in (raw, staged) if table not in tables), None):
        return Deletion(raw, 0, 0, missing)
    is_staged = f"event_id in (select event_id from {staged})"  # noqa: S608 (our names)
    [(deleted, *_)] = session.execute(f"delete from {raw} where ingested_at < ? and {is_staged}", [limit])  # noqa: S608
    [(kept,)] = session.execute(f"select count(*) from {raw} where ingested_at < ?", [limit])  # noqa: S608
    return Deletion(raw, int(deleted), int(kept))


def _tables(session: Session) -> set[str]:
    rows = session.execute(
        "select lower(table_schema), lower(table_name) from information_schema.tables"
        " where lower(table_schema) = 'streaming'"
    )
    return {f"{schema}.{name}" for schema, name in rows}


if __name__ == "__main__":
    run_command(app)
