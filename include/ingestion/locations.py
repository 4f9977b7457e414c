"""Where a run may read files from: who may trigger a DAG may not thereby read the machine or any bucket."""

from pathlib import Path
from urllib.parse import urlsplit

from include.ingestion.errors import IngestionError
from include.settings import Settings, get_settings

LOCAL = ("file", "local")
# The same for every other place, whether it exists or not.
REFUSAL = "This source_location is not allowed: it lies in none of the folders or URIs of SOURCE_LOCATIONS."


def allowed_location(location: str, settings: Settings | None = None) -> str:
    """Return the location, a folder with its symbolic links resolved; empty stays empty.

    Raises IngestionError, which tells nothing of what is there, for one outside SOURCE_LOCATIONS (default:
    SOURCE_LOCATION), and for a folder with a link that leads outside.
    """
    settings = settings or get_settings()
    allowed = [one.strip() for one in settings.source_locations.split(",") if one.strip()]
    prefixes = [_normal(one) for one in allowed or [settings.source_location] if one]
    if not location:
        return location
    found = _normal(location)
    if not _lies_in(found, prefixes) or not all(
        _lies_in(target, prefixes) for target in _link_targets(found)
    ):
        raise IngestionError(REFUSAL)
    return found


def _normal(location: str) -> str:
    """Return an absolute path without links, or a URI as it is."""
    scheme, separator, rest = location.partition("://")
    if not separator:
        return str(Path(location).expanduser().resolve())
    if scheme.lower() in LOCAL:
        return str(Path(f"/{rest.lstrip('/')}").resolve())
    return location


def _lies_in(location: str, prefixes: list[str]) -> bool:
    # fsspec chains file systems with ::, and a store may take .. for the folder above.
    if "://" in location and ("::" in location or ".." in urlsplit(location).path.split("/")):
        return False
    return any(location == one or location.startswith(f"{one.rstrip('/')}/") for one in prefixes)


def _link_targets(folder: str) -> list[str]:
    path = Path(folder)
    if "://" in folder or not path.is_dir():
        return []
    return [str(entry.resolve()) for entry in path.iterdir() if entry.is_symlink()]
