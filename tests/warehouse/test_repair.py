"""A checkpoint that was cut short damages nothing for good."""

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import duckdb
import pytest
from typer.testing import CliRunner, Result

from include.settings import get_settings
from include.warehouse import repair as repair_module
from include.warehouse.contradictions import contradictions
from include.warehouse.duckdb import DuckDBWarehouse, StreamDuckDBWarehouse
from include.warehouse.repair import app
from tests.warehouse.locks import locked

pytestmark = pytest.mark.slow  # files and processes: some seconds in all

BLOCK, BLOCK_BYTES, PAGE = 12_288, 262_144, 4096
"""The file's first block, which holds the metadata, and what the kernel writes at a time."""

NEXT = 1_234_567_003


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The place of the warehouse's file, which is not there yet."""
    path = tmp_path / "shop.duckdb"
    monkeypatch.setenv("DUCKDB_PATH", str(path))
    get_settings.cache_clear()
    yield path
    get_settings.cache_clear()


def store(path: Path) -> None:
    """Add a row and count it, in a session that leaves both in the log."""
    with StreamDuckDBWarehouse(path).session() as session, session.transaction():
        session.execute("insert into events select 'event-' || next_offset, '{}' from offsets")
        session.execute("update offsets set next_offset = next_offset + 1")


def torn_files(path: Path) -> Iterator[Path]:
    """Yield the file as it is when a checkpoint was killed behind each page that it writes, with its log."""
    before, log = path.read_bytes(), path.with_name("shop.duckdb.wal")
    shutil.copy(log, path.with_name("kept"))
    with closing(duckdb.connect(path)) as connection:
        connection.execute("checkpoint")
    after = path.read_bytes()
    for end in range(BLOCK + PAGE, BLOCK + BLOCK_BYTES, PAGE):
        path.write_bytes(before[:BLOCK] + after[BLOCK:end] + before[end:])
        shutil.copy(path.with_name("kept"), log)
        yield path


def opens(path: Path) -> bool:
    try:
        duckdb.connect(path, read_only=True).close()
    except duckdb.Error:
        return False
    return True


def repair(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


@pytest.mark.slow
def test_wherever_a_checkpoint_was_killed_every_committed_row_comes_back(path: Path) -> None:
    with closing(duckdb.connect(path)) as connection:
        connection.execute("create table events (event_id varchar, payload json using compression zstd)")
        connection.execute("create table offsets (next_offset bigint primary key)")
        connection.execute("insert into offsets values (0)")
    damaged = 0
    for number in range(1, 4):
        store(path)
        for torn in torn_files(path):
            if opens(torn):
                continue
            damaged += 1
            evidence = torn.read_bytes()

            refused = repair()
            assert (refused.exit_code, torn.read_bytes()) == (1, evidence)
            assert "possibly altered: prefer the backup" in refused.stderr
            result = repair("--accept-altered")

            assert (result.exit_code, f"{number + 1} rows read" in result.stdout) == (0, True), result.output
            with closing(duckdb.connect(path)) as connection:
                assert connection.execute("table offsets").fetchall() == [(number,)]
                assert connection.execute("select count(distinct event_id) from events").fetchall() == [
                    (number,)
                ]
            assert path.with_name("shop.duckdb.damaged").read_bytes() == evidence
    assert damaged, "DuckDB now survives it: the command can go"


def test_a_sound_file_and_one_of_another_kind_stay_as_they_are(path: Path) -> None:
    with closing(duckdb.connect(path)) as connection:
        connection.execute("create table t as select 1 as n")
    sound = path.read_bytes()
    assert repair().exit_code == 0
    assert path.read_bytes() == sound

    for content in (b"do not touch" * 1000, sound[:BLOCK] + bytes(1000)):
        path.write_bytes(content)
        result = repair()
        assert result.exit_code == 1
        assert str(path) in result.output
        assert path.read_bytes() == content
        assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_damage_in_two_places_is_left_to_a_backup(path: Path) -> None:
    with closing(duckdb.connect(path)) as connection:
        connection.execute("create table t as select range as n, 'row ' || range as text from range(100000)")
    content = bytearray(path.read_bytes())
    for place in range(BLOCK + BLOCK_BYTES, len(content), BLOCK_BYTES):
        content[place + 5000] ^= 255
    content[BLOCK] ^= 255  # the metadata's checksum
    path.write_bytes(content)

    result = repair()

    assert (result.exit_code, "Restore a backup" in result.output) == (1, True)
    assert path.read_bytes() == content
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_a_file_in_use_is_no_case_for_a_backup(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repair_module, "LOCK_TIMEOUT_SECONDS", 0.5)
    with locked(path):
        result = repair()

    assert (result.exit_code, f"{path} is in use" in result.output) == (1, True)
    assert "backup" not in result.output


def test_no_file_is_said(path: Path) -> None:
    result = repair()
    assert (result.exit_code, f"{path} does not exist" in result.output) == (1, True)


@pytest.fixture
def shop(path: Path) -> Path:
    """A warehouse with a load of three rows and three stored messages, all in agreement."""
    with DuckDBWarehouse(path).session() as session:
        for statement in (
            "create schema raw",
            "create schema streaming",
            "create table raw.customers as select range::varchar as customerid, range + 1 as _source_row,"
            " 'load-1' as _load_id from range(3)",
            "create table raw.ingestion_ledger as select 'load-1' as load_id, 'customers' as dataset,"
            " '' as part, 3::bigint as row_count, now() as loaded_at",
            "create table streaming.kafka_offsets (kafka_topic varchar, kafka_partition integer,"
            " next_offset bigint, primary key (kafka_topic, kafka_partition))",
            "insert into streaming.kafka_offsets values ('bitcoin-prices', 0, 1234567003)",
            "create table streaming.bitcoin_prices_raw as select 'bitcoin-prices' as kafka_topic,"
            " 0 as kafka_partition, 1234567000 + range as kafka_offset from range(3)",
        ):
            session.execute(statement)
    return path


def flip(path: Path, *places: tuple[int, int]) -> None:
    """Flip bits of the file, each given as byte and bit."""
    content = bytearray(path.read_bytes())
    for byte, bit in places:
        content[byte] ^= 1 << bit
    path.write_bytes(content)


def places_of(path: Path, number: int) -> Iterator[int]:
    """Yield each place where the file's metadata holds a number: as LEB128, the lowest seven bits first."""
    content = path.read_bytes()
    low = [number >> shift & 0x7F for shift in range(0, number.bit_length(), 7)]
    wanted = bytes([*(byte | 0x80 for byte in low[:-1]), low[-1]])
    place = content.find(wanted)
    while place >= 0:
        yield place
        place = content.find(wanted, place + 1)


@pytest.mark.slow
def test_one_flipped_bit_is_set_right_or_left_alone(shop: Path) -> None:
    """In the offset itself, in a checksum, and all over each block that is read.

    Where several flips explain the checksum, as of the high bits of a word, none is guessed.
    """
    sound = shop.read_bytes()
    places = [(place, 0) for place in places_of(shop, NEXT)]
    assert places, "the offset does not lie in the file as LEB128"
    blocks = {(place - BLOCK) // BLOCK_BYTES * BLOCK_BYTES + BLOCK for place, _ in places}
    places += [(block + at, bit) for block in blocks for at in (0, 7, 8, 15, 17, 4097) for bit in (1, 7)]
    mended = 0
    for place in places:
        flip(shop, place)
        altered = shop.read_bytes()

        result = repair()

        if result.exit_code:
            assert "possibly altered: prefer the backup" in result.stderr
            assert shop.read_bytes() == altered
        else:
            mended += 1
            assert "one flipped bit set right" in result.stdout
            assert shop.read_bytes() == sound
            assert shop.with_name("shop.duckdb.damaged").read_bytes() == altered
        shop.write_bytes(sound)
    assert 0 < mended < len(places)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            "update streaming.kafka_offsets set next_offset = 1234567002",
            "bitcoin-prices partition 0: next_offset is 1234567002, but message 1234567002 is stored",
        ),
        (
            "update streaming.kafka_offsets set next_offset = 1234567004",
            "next_offset is 1234567004, but the newest message stored is 1234567002: dead",
        ),
        (
            "delete from streaming.kafka_offsets",
            "bitcoin-prices partition 0 has messages in streaming.bitcoin_prices_raw and no row in",
        ),
        (
            "update streaming.bitcoin_prices_raw set kafka_offset = 1234567001",
            "bitcoin_prices_raw holds offset 1234567001 of bitcoin-prices partition 0 more than once",
        ),
        (
            "update raw.ingestion_ledger set row_count = 2",
            "raw.customers holds 3 rows of load load-1, the ledger says 2",
        ),
        (
            "update raw.customers set _load_id = 'load-0' where _source_row = 1",
            "raw.customers holds 1 rows of load load-0, which is not the ledger's",
        ),
        (
            "update raw.customers set _source_row = 1",
            "raw.customers: 3 rows of load load-1 have 1 different row numbers",
        ),
        ("drop table raw.customers", "raw.ingestion_ledger names raw.customers, which is not there"),
    ],
)
def test_what_contradicts_itself_is_said(shop: Path, change: str, sentence: str) -> None:
    with DuckDBWarehouse(shop).session() as session:
        assert list(contradictions(session)) == []
        session.execute(change)
        assert sentence in "; ".join(contradictions(session))


def test_several_flipped_bits_are_not_blessed(shop: Path) -> None:
    """The offset is wrong by one, and another bit is flipped where nothing is stored."""
    sound = shop.read_bytes()
    refused = 0
    for place in list(places_of(shop, NEXT)):
        block = BLOCK + (place - BLOCK) // BLOCK_BYTES * BLOCK_BYTES
        flip(shop, (place, 0), (block + BLOCK_BYTES - 1, 3))
        altered = shop.read_bytes()

        result = repair()

        assert shop.read_bytes() == altered
        if result.exit_code:
            refused += 1
            assert "possibly altered: prefer the backup" in result.stderr
            accepted = repair("--accept-altered")
            assert accepted.exit_code == 0, accepted.output
            with DuckDBWarehouse(shop).session() as session:
                [(offset,)] = session.execute("select max(next_offset) from streaming.kafka_offsets")
            if offset == NEXT - 1:
                assert "next_offset is 1234567002, but message 1234567002 is stored" in result.stderr
                assert "next_offset is 1234567002, but message 1234567002 is stored" in accepted.stdout
            assert shop.with_name("shop.duckdb.damaged").read_bytes() == altered
        shop.write_bytes(sound)
    assert refused
