"""Which files a warehouse on this machine is filled from, from one command to the next."""

import json
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from include.backup import Places
from include.ingestion.origin import MARKER, Origin, held_by, mixture
from include.settings import Settings
from include.warehouse.duckdb import DuckDBWarehouse, is_lock_conflict
from standalone.errors import StandaloneError

LOCK_TIMEOUT_SECONDS = 5


class SourceError(StandaloneError):
    """The warehouse holds other files, or cannot be set aside; the message names both and says what to do."""


def recall(settings: Settings) -> str:
    """Return the location that this warehouse was last filled from; empty where it never was."""
    return str(_read(settings).get(_key(settings), ""))


def remember(settings: Settings, location: str) -> None:
    """Keep the location for the next command that names none."""
    path = _file(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(_read(settings) | {_key(settings): location}, indent=2), encoding="utf-8")


def make_room(settings: Settings, location: str, *, replace: bool) -> Path | None:
    """Refuse files that do not go with those in the DuckDB file; with `replace`, set that file aside.

    The registry goes with LOCAL_DIR's: versions for other customers cannot be compared with its own. Returns
    the place of a file that was set aside. Raises SourceError. A file that another process holds is
    left to ingestion, which refuses the same.
    """
    if replace and settings.warehouse != "duckdb":
        raise SourceError("REPLACE=1 sets a DuckDB file aside; on Snowflake name another database.")
    if settings.warehouse != "duckdb" or not settings.duckdb_path.exists():
        return None
    given = Origin("://" not in location and (Path(location) / MARKER).exists(), location)
    try:
        with DuckDBWarehouse(settings.duckdb_path, LOCK_TIMEOUT_SECONDS).session() as session:
            refusal = mixture(held_by(session), given)
    except duckdb.IOException as error:
        if is_lock_conflict(error) and not replace:
            return None
        raise SourceError(f"{settings.duckdb_path} cannot be set aside or read: {error}") from error
    if refusal and not replace:
        raise SourceError(refusal)
    return _set_aside(settings) if refusal else None


def _set_aside(settings: Settings) -> Path:
    path, replaced = settings.duckdb_path, f"replaced-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    aside = path.with_name(f"{path.name}.{replaced}")
    log = path.with_name(f"{path.name}.wal")
    if log.exists():
        log.rename(aside.with_name(f"{aside.name}.wal"))
    registry = Places.of(settings).segments
    # A warehouse elsewhere, as of `make build DUCKDB_PATH=…`, shares the registry with the one of LOCAL_DIR.
    if registry and registry.exists() and path.is_relative_to(settings.local_dir):
        registry.rename(registry.with_name(f"{registry.name}.{replaced}"))
    path.rename(aside)
    return aside


def _key(settings: Settings) -> str:
    return str(settings.duckdb_path) if settings.warehouse == "duckdb" else settings.warehouse


def _file(settings: Settings) -> Path:
    return settings.local_dir / "sources.json"


def _read(settings: Settings) -> dict[str, str]:
    path = _file(settings)
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}
