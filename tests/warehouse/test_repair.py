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
from include.warehouse.duckdb import DuckDBWarehouse
from include.warehouse.repair import app
from tests.warehouse.locks import locked

BLOCK, BLOCK_BYTES, PAGE = 12_288, 262_144, 4096
"""The file's first block, which holds the metadata, and what the kernel writes at a time."""


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
    with DuckDBWarehouse(path, keeps_log=True).session() as session, session.transaction():
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


def repair() -> Result:
    return CliRunner().invoke(app)


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

            result = repair()

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
