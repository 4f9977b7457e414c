"""What is older than its setting goes, what is newer or in use stays."""

import datetime as dt
import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from include.retention import app
from include.settings import get_settings
from include.warehouse.duckdb import DuckDBWarehouse
from ml.registry import MANIFEST, Registry

NOW = dt.datetime.now(dt.UTC)


def retain(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Result:
    monkeypatch.setenv("LOCAL_DIR", str(folder))
    monkeypatch.delenv("DUCKDB_PATH", raising=False)
    monkeypatch.delenv("ML_REGISTRY", raising=False)
    monkeypatch.setenv("AIRFLOW_HOME", str(folder / "airflow"))
    for name, days in {"RUN_RESULTS_DAYS": 30, "LOG_DAYS": 10, "REGISTRY_DAYS": 100}.items():
        monkeypatch.setenv(name, str(days))
    get_settings.cache_clear()
    try:
        return CliRunner().invoke(app)
    finally:
        get_settings.cache_clear()


def test_nothing_there_is_nothing_to_delete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = retain(tmp_path, monkeypatch)
    assert result.exit_code == 0, result.output
    assert [line.split()[0] for line in result.output.splitlines()] == ["0", "0", "0"]


def test_old_run_results_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    warehouse = DuckDBWarehouse(tmp_path / "warehouse/marketing_insights.duckdb")
    with warehouse.session() as session:
        session.execute("create schema raw")
        session.execute("create table raw.dbt_run_results (node_id varchar, completed_at timestamptz)")
        for days in (29, 31):
            session.execute(
                "insert into raw.dbt_run_results values (?, ?)", [str(days), NOW - dt.timedelta(days=days)]
            )
    result = retain(tmp_path, monkeypatch)
    assert "1 run results older than 30 days" in result.output
    with warehouse.session() as session:
        assert session.execute("select node_id from raw.dbt_run_results") == [("29",)]


def test_old_logs_go_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"logs/a.log": 11, "logs/b.log": 9, "airflow/logs/dag/task/attempt=1.log": 11, "data/c.log": 11}
    for name, days in names.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
        written = (NOW - dt.timedelta(days=days)).timestamp()
        os.utime(tmp_path / name, (written, written))
    assert "2 log files older than 10 days" in retain(tmp_path, monkeypatch).output
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.log")} == {
        "logs/b.log",
        "data/c.log",
    }


def test_old_versions_go_but_for_those_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry(tmp_path / "segments")
    names = []
    for days in (500, 400, 300, 200, 1):
        version = registry.new_version("0123abcd" * 8)
        files = {"model.json": b"{}", "plots/a.csv": b"k\n"}
        registry.write(version, files, fingerprint="f", decision="accepted", findings=(), dry_run=False)
        manifest = Path(registry.location(version)) / MANIFEST
        created = (NOW - dt.timedelta(days=days)).isoformat(timespec="seconds")
        manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "created_at": created}))
        names.append(version)
    for version in names[:3]:
        registry.promote(version)

    assert "2 model versions older than 100 days" in retain(tmp_path, monkeypatch).output

    assert [one.version for one in registry.versions()] == [names[1], names[2], names[4]]
    assert registry.rollback().version == names[1]
    assert not Path(registry.location(names[0])).exists()


def test_a_damaged_registry_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry(tmp_path / "segments")
    version = registry.new_version("0123abcd" * 8)
    (Path(registry.location(version)) / MANIFEST).write_text("{")
    result = retain(tmp_path, monkeypatch)
    assert result.exit_code == 1
    assert "version.json is damaged" in result.output
