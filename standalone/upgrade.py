"""A backup before software of another version touches what this machine holds."""

import json
import tomllib
from importlib.metadata import version

from include.backup import Backup, Places, create
from include.settings import PROJECT_ROOT, Settings


def backup_before_upgrade(settings: Settings) -> Backup | None:
    """Back up if the warehouse's file was last used by another version of the product, Airflow or DuckDB.

    Returns the backup, None where none was needed. Raises BackupError; the next call then tries again.
    """
    marker, warehouse = settings.local_dir / "used_by", str(settings.duckdb_path)
    used_by = json.loads(marker.read_text(encoding="utf-8")) if marker.exists() else {}
    if used_by.get(warehouse) == software():
        return None
    places = Places.of(settings)
    found = any(place and place.exists() for place in (places.warehouse, places.segments, places.airflow))
    backup = create(settings) if found else None
    settings.local_dir.mkdir(parents=True, exist_ok=True)
    draft = marker.with_name(".used_by")
    draft.write_text(json.dumps({**used_by, warehouse: software()}, indent=1), encoding="utf-8")
    draft.replace(marker)
    return backup


def software() -> str:
    """Return the versions of what decides how the files on this machine are read."""
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    parts = [(project["name"], project["version"])]
    parts += [(name, version(name)) for name in ("apache-airflow", "duckdb")]
    return " ".join(f"{name}=={found}" for name, found in parts)
