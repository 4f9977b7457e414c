"""A backup before software of another version touches what this machine holds."""

import tomllib
from importlib.metadata import version

from include.backup import Backup, Places, create
from include.settings import PROJECT_ROOT, Settings


def backup_before_upgrade(settings: Settings) -> Backup | None:
    """Back up if LOCAL_DIR was last used by another version of the product, of Airflow or of DuckDB.

    Returns the backup, None where none was needed. Raises BackupError; the next call then tries again.
    """
    marker, ours = settings.local_dir / "used_by", software()
    if marker.exists() and marker.read_text(encoding="utf-8") == ours:
        return None
    places = Places.of(settings)
    found = any(place and place.exists() for place in (places.warehouse, places.segments, places.airflow))
    backup = create(settings) if found else None
    settings.local_dir.mkdir(parents=True, exist_ok=True)
    marker.write_text(ours, encoding="utf-8")
    return backup


def software() -> str:
    """Return the versions of what decides how the files on this machine are read."""
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    parts = [(project["name"], project["version"])]
    parts += [(name, version(name)) for name in ("apache-airflow", "duckdb")]
    return " ".join(f"{name}=={found}" for name, found in parts)
