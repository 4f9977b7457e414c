"""Keeps dbt's manifest, from which Cosmos builds the DAG, in step with the dbt project."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

from include.orchestration import dbt_manifest
from include.settings import DBT_PROJECT_DIR, PROJECT_ROOT, Settings
from ml.seed import SEEDS, ensure_seed
from standalone.environment import VENV_BIN, airflow_environment
from standalone.errors import StandaloneError

# Written by dbt itself: says nothing about a changed model.
_WRITTEN_BY_DBT = {"target", "logs", "dbt_packages", ".user.yml"}
# Each reseed writes these, in their folder; the manifest has nothing of what a seed holds.
_WRITTEN_BY_RESEED = {"seeds", *(f"{seed}.csv" for seed in SEEDS)}


class ManifestError(StandaloneError):
    """`dbt parse` failed; the message is dbt's own output."""


def refresh_manifest(settings: Settings, project: Path = DBT_PROJECT_DIR) -> bool:
    """Run `dbt parse` if the manifest is older than the project or made for another warehouse.

    Returns whether it ran. Raises ManifestError with dbt's output if the project does not parse.
    """
    settings.duckdb_path.parent.mkdir(parents=True, exist_ok=True)
    if not (project / "dbt_project.yml").exists():
        return False
    ensure_seed(project)
    if is_current(project, settings.warehouse):
        return False
    result = subprocess.run(  # noqa: S603
        [str(VENV_BIN / "python"), "-m", dbt_manifest.__name__, str(project)],
        cwd=PROJECT_ROOT,
        env=airflow_environment(settings),
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise ManifestError(f"dbt parse failed in {project}:\n{result.stdout}{result.stderr}".rstrip())
    return True


def is_current(project: Path, warehouse: str) -> bool:
    """Return whether the manifest is newer than every project file and made for this warehouse."""
    manifest = project / "target" / dbt_manifest.MANIFEST.name
    if not manifest.exists():
        return False
    made_at = manifest.stat().st_mtime
    files = (path for path in _project_files(project) if path.name not in _WRITTEN_BY_RESEED)
    if any(path.stat().st_mtime > made_at for path in files):
        return False
    metadata = json.loads(manifest.read_text(encoding="utf-8")).get("metadata", {})
    return bool(metadata.get("adapter_type") == warehouse)


def _project_files(project: Path) -> Iterator[Path]:
    """Yield files and folders: a folder's own time tells of a file that was removed from it."""
    for entry in project.iterdir():
        if entry.name not in _WRITTEN_BY_DBT:
            yield entry
            yield from entry.rglob("*")
