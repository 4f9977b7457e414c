"""What a backup holds is whole, taken at work, and comes back."""

import json
import math
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from include import backup as backup_module
from include.backup import BackupError, age, app, backups, create, restore
from include.settings import PROJECT_ROOT, Settings, get_settings
from include.warehouse.duckdb import DuckDBWarehouse, StreamDuckDBWarehouse
from standalone import upgrade
from standalone.stack import Stack
from tests.warehouse.locks import locked


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a machine with a warehouse, a registry and Airflow's database."""
    monkeypatch.setenv("LOCAL_DIR", str(tmp_path / "local"))
    for name in ("DUCKDB_PATH", "WAREHOUSE", "ML_REGISTRY", "BACKUPS"):
        monkeypatch.delenv(name, raising=False)
    settings = Settings()
    for number in range(3):
        store(settings, number)
    for version, is_complete in (("v1", True), ("v2", False)):
        folder = settings.local_dir / "segments" / "versions" / version
        folder.mkdir(parents=True)
        (folder / "model.json").write_text(version)
        if is_complete:
            (folder / "version.json").write_text("{}")
    (settings.local_dir / "segments" / "promotions").mkdir()
    (settings.local_dir / "segments" / "promotions" / "000001.json").write_text(json.dumps({"version": "v1"}))
    (settings.local_dir / "airflow").mkdir()
    with closing(sqlite3.connect(airflow(settings))) as database:
        database.execute("pragma journal_mode = wal")
        database.execute("create table dag_run (id integer)")
        database.execute("insert into dag_run values (7)")
        database.commit()
    return settings


def store(settings: Settings, number: int) -> None:
    """Add a row as the consumer does: it stays in the write-ahead log."""
    with StreamDuckDBWarehouse(settings.duckdb_path).session() as session:
        session.execute("create table if not exists events (n integer)")
        session.execute("insert into events values (?)", [number])


def events(settings: Settings) -> list[int]:
    with DuckDBWarehouse(settings.duckdb_path).session() as session:
        return [n for (n,) in session.execute("select n from events order by n")]


def airflow(settings: Settings) -> Path:
    return settings.local_dir / "airflow" / "airflow.db"


def runs(settings: Settings) -> list[tuple[int]]:
    with closing(sqlite3.connect(airflow(settings))) as database:
        return database.execute("select id from dag_run").fetchall()


def test_what_was_backed_up_comes_back(settings: Settings) -> None:
    made = create(settings)
    store(settings, 3)
    with closing(sqlite3.connect(airflow(settings))) as database:
        database.execute("delete from dag_run")
        database.commit()
    shutil.rmtree(settings.local_dir / "segments")

    backup, before = restore(settings)

    assert backup == made
    assert events(settings) == [0, 1, 2]
    assert runs(settings) == [(7,)]
    registry = settings.local_dir / "segments"
    assert json.loads((registry / "promotions" / "000001.json").read_text()) == {"version": "v1"}
    assert [one.name for one in (registry / "versions").iterdir()] == ["v1"], "v2 is no version yet"
    kept = settings.model_copy(update={"duckdb_path": before / settings.duckdb_path.name})
    assert events(kept) == [0, 1, 2, 3]


def test_it_survives_the_loss_of_the_machines_files(settings: Settings) -> None:
    create(settings)
    settings.duckdb_path.write_bytes(b"rotten" * 10_000)
    airflow(settings).unlink()

    restore(settings)

    assert (events(settings), runs(settings)) == ([0, 1, 2], [(7,)])


def test_it_is_consistent_while_others_write(settings: Settings) -> None:
    """A transaction writes to two tables: a backup holds both or neither, and waits for nobody to stop."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom include.warehouse.duckdb import StreamDuckDBWarehouse\n"
        "import sqlite3\nn, m = 0, sqlite3.connect(sys.argv[2])\n"
        "while True:\n"
        "    with StreamDuckDBWarehouse(Path(sys.argv[1])).session() as s:\n"
        "        s.execute('create table if not exists a (n integer)')\n"
        "        s.execute('create table if not exists b (n integer)')\n"
        "        with s.transaction():\n"
        "            s.execute('insert into a select ? from range(1000)', [n])\n"
        "            s.execute('insert into b select ? from range(1000)', [n])\n"
        "    m.execute('insert into dag_run values (?)', [n])\n    m.commit()\n"
        "    n += 1\n    print(n, flush=True)\n"
    )
    command = [sys.executable, "-c", code, str(settings.duckdb_path), str(airflow(settings))]
    with subprocess.Popen(command, cwd=PROJECT_ROOT, stdout=subprocess.PIPE) as writer:
        assert writer.stdout
        try:
            for _ in range(3):
                assert writer.stdout.readline(), "the writer ended"
                made = create(settings)
                with DuckDBWarehouse(made.folder / "warehouse.duckdb").session() as session:
                    [(a, b)] = session.execute("select (select count(*) from a), (select count(*) from b)")
                assert a == b > 0
            assert writer.poll() is None
        finally:
            writer.kill()


def test_as_many_as_are_wanted_are_kept(settings: Settings) -> None:
    few = settings.model_copy(update={"backups": 2})
    made = [create(few).folder for _ in range(4)]

    assert [one.folder for one in backups(few)] == made[:1:-1]
    assert sorted((settings.local_dir / "backups").iterdir()) == made[2:]


def test_a_backup_that_has_changed_is_not_restored(settings: Settings) -> None:
    made = create(settings)
    os.truncate(made.folder / "warehouse.duckdb", 100_000)
    store(settings, 3)

    with pytest.raises(BackupError, match=r"warehouse\.duckdb is missing or not what was written"):
        restore(settings)

    assert events(settings) == [0, 1, 2, 3]


def test_a_damaged_warehouse_gives_no_backup(settings: Settings) -> None:
    create(settings)
    with DuckDBWarehouse(settings.duckdb_path).session() as session:
        session.execute("checkpoint")
    content = bytearray(settings.duckdb_path.read_bytes())
    content[12_288 + 5000] ^= 1
    settings.duckdb_path.write_bytes(content)

    with pytest.raises(BackupError, match="cannot be read whole"):
        create(settings)

    assert len(list((settings.local_dir / "backups").iterdir())) == 1


def test_nothing_is_restored_under_a_running_process(settings: Settings) -> None:
    create(settings)
    with locked(settings.duckdb_path), pytest.raises(BackupError, match=r"\.duckdb was in use"):
        restore(settings)
    with closing(sqlite3.connect(airflow(settings))) as database:
        database.execute("select * from dag_run").fetchall()
        with pytest.raises(BackupError, match=r"airflow\.db is in use"):
            restore(settings)


def test_a_warehouse_that_stays_locked_is_said(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup_module, "LOCK_TIMEOUT_SECONDS", 0.2)
    with locked(settings.duckdb_path), pytest.raises(BackupError, match="in use by others"):
        create(settings)

    assert backups(settings) == []


def test_the_command_line(settings: Settings) -> None:
    get_settings.cache_clear()
    run = CliRunner().invoke

    assert "There is no backup in" in run(app, ["restore"]).stderr
    made = run(app, ["create"])
    assert made.exit_code == 0
    assert "airflow.db, segments/promotions/000001.json" in made.stdout
    [one] = backups(settings)
    assert one.folder.name in run(app, ["list"]).stdout
    assert "There is no backup 2019" in run(app, ["restore", "2019"]).stderr
    assert f"{one.folder.name} is restored" in run(app, ["restore", one.folder.name]).stdout
    get_settings.cache_clear()


def test_backups_are_made_by_the_clock_and_rotated(settings: Settings) -> None:
    """The process of compose's profile `backups`; its health is the age of the newest."""
    get_settings.cache_clear()
    run = CliRunner().invoke
    assert "There is no backup in" in run(app, ["check"]).stderr
    command = [sys.executable, "-m", "include.backup", "every", "0.0001"]
    environment = {**os.environ, "BACKUPS": "2"}
    with subprocess.Popen(
        command, cwd=PROJECT_ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        made = [process.stdout.readline().partition(": ")[0] for _ in range(4)]
        process.kill()

    left = {str(one.folder) for one in backups(settings)}
    assert len(set(made)) == 4
    assert len(left - set(made)) <= 1  # a fifth, begun before the kill
    assert 2 <= len(left) <= 3
    assert not left & set(made[:2])
    assert run(app, ["check", "1"]).exit_code == 0
    late = run(app, ["check", "0"])
    assert late.exit_code == 1
    assert "hours old in" in late.stderr
    get_settings.cache_clear()


def test_the_clock_counts_from_the_newest_backup(settings: Settings) -> None:
    """A container that is started again makes none before its time."""
    assert age(settings) == math.inf
    create(settings)
    assert 0 < age(settings) < 3600


def test_another_version_backs_up_before_it_starts(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Stack, "_refuse_if_port_busy", lambda self: None)

    def stop_here(self: Stack) -> None:
        raise RuntimeError("the migration begins")

    monkeypatch.setattr(Stack, "_migrate_database", stop_here)

    def start() -> int:
        with pytest.raises(RuntimeError, match="the migration begins"):
            Stack(settings.model_copy(update={"feeds": "none"})).start()
        return len(backups(settings))

    assert start() == 1  # of a version that left no mark
    assert start() == 1
    monkeypatch.setattr(upgrade, "software", lambda: "another version")
    assert start() == 2


def test_the_build_of_another_file_does_not_stand_for_this_one(settings: Settings, tmp_path: Path) -> None:
    other = settings.model_copy(update={"duckdb_path": tmp_path / "other.duckdb"})

    assert upgrade.backup_before_upgrade(other)
    made = upgrade.backup_before_upgrade(settings)

    assert made
    assert "warehouse.duckdb" in made.files
    assert upgrade.backup_before_upgrade(settings) is None
