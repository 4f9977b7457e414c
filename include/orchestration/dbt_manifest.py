"""What Cosmos reads of dbt's manifest, in a file of its own: `python -m include.orchestration.dbt_manifest`.

Each task of each DAG reads it anew, and nine tenths of dbt's own file are SQL, macros, columns and docs.
Made after each `dbt parse`: by `make manifest` and in the image's build.
"""

import json
from pathlib import Path
from typing import Any

from include.settings import DBT_PROJECT_DIR

MANIFEST = DBT_PROJECT_DIR / "target" / "cosmos_manifest.json"
NO_TASKS = {"operation", "exposure"}  # resource types of which Cosmos makes none, and warns of each
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
    """Write it beside the manifest of a parsed dbt project; return where. Raises OSError without the manifest."""
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


if __name__ == "__main__":
    write_cosmos_manifest()
