"""Whether the warehouse agrees with itself: offsets with messages, ledger with raw tables, and keys."""

from collections.abc import Iterator

from include.warehouse.base import Session

OFFSETS = "streaming.kafka_offsets"
LEDGER = "raw.ingestion_ledger"
STREAM_TABLES = ("streaming.bitcoin_prices_raw", "streaming.news_events_raw")


def contradictions(session: Session) -> Iterator[str]:
    """Yield a sentence for each thing that cannot be true, and for each offset that no message bears out.

    Dead letters and deleted messages have an offset and no row, so the latter need not be wrong.
    """
    tables = {name for (name,) in session.execute(_TABLES)}
    if OFFSETS in tables:
        for table in tables.intersection(STREAM_TABLES):
            yield from _of_stream(session, table)
    if LEDGER in tables:
        yield from _of_ledger(session, tables)


_TABLES = (
    "select lower(table_schema) || '.' || lower(table_name) from information_schema.tables"
    " where table_type = 'BASE TABLE'"
)


def _of_stream(session: Session, table: str) -> Iterator[str]:
    repeated = session.execute(
        f"select kafka_topic, kafka_partition, kafka_offset from {table}"  # noqa: S608 (our names)
        " group by 1, 2, 3 having count(*) > 1 order by 1, 2, 3"
    )
    for topic, partition, offset in repeated:
        yield f"{table} holds offset {offset} of {topic} partition {partition} more than once"
    stored = session.execute(
        "select m.kafka_topic, m.kafka_partition, max(m.kafka_offset), max(o.next_offset)"  # noqa: S608
        f" from {table} m left join {OFFSETS} o"
        " on o.kafka_topic = m.kafka_topic and o.kafka_partition = m.kafka_partition"
        " group by 1, 2 order by 1, 2"
    )
    for topic, partition, newest, next_offset in stored:
        if next_offset is None:
            yield f"{topic} partition {partition} has messages in {table} and no row in {OFFSETS}"
        elif next_offset <= newest:
            yield (
                f"{topic} partition {partition}: next_offset is {next_offset}, but message {newest} is stored"
            )
        elif next_offset > newest + 1:
            yield (
                f"{topic} partition {partition}: next_offset is {next_offset}, but the newest message stored"
                f" is {newest}: dead letters lie between them, or the offset is wrong"
            )


def _of_ledger(session: Session, tables: set[str]) -> Iterator[str]:
    loads = session.execute(
        f"select dataset, part, load_id, row_count from {LEDGER}"  # noqa: S608 (our names)
        " where dataset is not null order by loaded_at"
    )
    current = {(dataset, part): (load_id, rows) for dataset, part, load_id, rows in loads}
    for dataset in sorted({dataset for dataset, _ in current}):
        table = f"raw.{dataset}"
        if table not in tables:
            yield f"{LEDGER} names {table}, which is not there"
            continue
        ledger = {load: rows for (name, _), (load, rows) in current.items() if name == dataset}
        yield from _of_raw_table(session, table, ledger)


def _of_raw_table(session: Session, table: str, ledger: dict[str, int]) -> Iterator[str]:
    found = {
        load: (rows, numbers)
        for load, rows, numbers in session.execute(
            f"select _load_id, count(*), count(distinct _source_row) from {table} group by 1"  # noqa: S608
        )
    }
    for load, expected in ledger.items():
        rows, numbers = found.pop(load, (0, 0))
        if rows != expected:
            yield f"{table} holds {rows} rows of load {load}, the ledger says {expected}"
        elif numbers != rows:
            yield f"{table}: {rows} rows of load {load} have {numbers} different row numbers"
    for load, (rows, _) in found.items():
        yield f"{table} holds {rows} rows of load {load}, which is not the ledger's"
