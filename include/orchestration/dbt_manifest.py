"""Parses the dbt project for Airflow: `python -m include.orchestration.dbt_manifest`, as make and images do.

Cosmos gets a manifest of its own: each task of each DAG reads it anew, and nine tenths of dbt's are SQL,
macros, columns and docs. dbt gets its partial parse, from which every run starts, as `dbt_with_parent` has
it: another parse of the whole project takes longer than most groups build.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from include.dbt_with_parent import DBT_WITH_PARENT
from include.settings import DBT_PROJECT_DIR, get_settings

PROFILE = "marketing_insights"
MANIFEST = DBT_PROJECT_DIR / "target" / "cosmos_manifest.json"
NO_TASKS = {"operation", "exposure", "test"}  # resource types without a task of their own
NODE_KEYS = {
    "unique_id",
    "resource_type",
    "package_name",
    "original_file_path",
    "tags",
    "fqn",
    "depends_on",
    "freshness",
}
CONFIG_KEYS = {"enabled", "materialized", "meta", "schema", "severity", "tags"}


def write_cosmos_manifest(project: Path = DBT_PROJECT_DIR) -> Path:
    """Write it beside a parsed project's manifest, and return where; raises OSError without that."""
    target = project / "target"
    manifest = json.loads((target / "manifest.json").read_text(encoding="utf-8"))
    needed = {
        "metadata": {key: manifest["metadata"].get(key) for key in ("project_name", "adapter_type")},
        "nodes": _needed(manifest["nodes"]),
        "sources": _needed(manifest["sources"]),
    }
    written = target / MANIFEST.name
    written.write_text(json.dumps(needed), encoding="utf-8")
    return written


def _needed(nodes: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        unique_id: {
            **{key: value for key, value in node.items() if key in NODE_KEYS},
            "config": {key: value for key, value in node["config"].items() if key in CONFIG_KEYS},
        }
        for unique_id, node in nodes.items()
        if node["resource_type"] not in NO_TASKS
    }


def usual_vars() -> dict[str, str]:
    """Return the --vars of each group, unless a run's parameters or a backfill say otherwise."""
    return {
        "as_of_date": "",
        "dry_run": "False",
        "end_date": "",
        "max_rejected_share": str(get_settings().max_rejected_share),
        "start_date": "",
    }


def options_of_the_parse(warehouse: str) -> list[str]:
    """Return the options with which a dbt of any target folder starts from this parse, where there is one."""
    options = [
        "--profile",
        PROFILE,
        "--target",
        warehouse,
        "--vars",
        json.dumps(usual_vars()),
    ]  # as Cosmos does
    parsed = DBT_PROJECT_DIR / "target" / "partial_parse.msgpack"
    return [*options, "--partial-parse-file-path", str(parsed)] if parsed.exists() else options


def parse(project: Path = DBT_PROJECT_DIR) -> int:
    """Run `dbt parse` and write both; return dbt's exit code, its complaints on stdout and stderr."""
    dbt = [sys.executable, str(DBT_WITH_PARENT), "--quiet", "parse"]
    options = options_of_the_parse(get_settings().warehouse)
    code = subprocess.run([*dbt, *options], cwd=project, check=False).returncode  # noqa: S603
    if code == 0:
        write_cosmos_manifest(project)
    return code


if __name__ == "__main__":
    sys.exit(parse(*map(Path, sys.argv[1:])))
