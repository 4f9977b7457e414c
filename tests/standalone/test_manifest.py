"""The dbt manifest is made when it is needed, and only then."""

import json
import os
from pathlib import Path

import pytest

from include.orchestration.dbt_manifest import MANIFEST, write_cosmos_manifest
from include.settings import DBT_PROJECT_DIR
from standalone.manifest import is_current


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a project whose manifest is newer than everything else in it."""
    for name in ("models/staging/a.sql", "models/b.sql", "dbt_project.yml", "logs/dbt.log"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for path in tmp_path.rglob("*"):
        os.utime(path, (1_000, 1_000))
    manifest = tmp_path / "target" / MANIFEST.name
    manifest.parent.mkdir()
    manifest.write_text(json.dumps({"metadata": {"adapter_type": "duckdb"}}))
    os.utime(manifest, (2_000, 2_000))
    return tmp_path


def test_an_unchanged_project_is_not_parsed_again(project: Path) -> None:
    (project / "logs" / "dbt.log").write_text("dbt writes this itself")

    assert is_current(project, "duckdb")


def test_a_changed_file_makes_it_stale(project: Path) -> None:
    (project / "models" / "staging" / "a.sql").write_text("select 1")

    assert not is_current(project, "duckdb")


def test_a_reseed_leaves_it_as_it_is(project: Path) -> None:
    """Or each demo would have the project parsed once more before the next one."""
    (project / "seeds").mkdir()
    draft, seed = project / "seeds" / ".draft", project / "seeds" / "customer_segments.csv"
    draft.write_text("customer_id,segment_id\n1,1\n", encoding="utf-8")
    draft.replace(seed)
    os.utime(project, (1_000, 1_000))

    assert is_current(project, "duckdb")


def test_a_removed_file_makes_it_stale(project: Path) -> None:
    (project / "models" / "staging" / "a.sql").unlink()

    assert not is_current(project, "duckdb")


def test_another_warehouse_makes_it_stale(project: Path) -> None:
    assert not is_current(project, "snowflake")


def test_no_manifest_is_stale(project: Path) -> None:
    (project / "target" / MANIFEST.name).unlink()

    assert not is_current(project, "duckdb")


def test_the_dags_read_what_cosmos_needs_and_no_sql(tmp_path: Path) -> None:
    """Of the project as it is: each node that may be a task, with what selects it."""
    whole = json.loads((DBT_PROJECT_DIR / "target" / "manifest.json").read_text(encoding="utf-8"))
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "manifest.json").write_text(json.dumps(whole), encoding="utf-8")

    read = json.loads(write_cosmos_manifest(tmp_path).read_text(encoding="utf-8"))

    kinds = {"model", "seed", "snapshot"}
    tasks = {name for name, node in whole["nodes"].items() if node["resource_type"] in kinds}
    assert read["nodes"].keys() == tasks
    assert read["sources"].keys() == whole["sources"].keys()
    for name, node in read["nodes"].items():
        assert node["tags"] == whole["nodes"][name]["tags"]
        assert node["depends_on"] == whole["nodes"][name]["depends_on"]
        assert "raw_code" not in node
