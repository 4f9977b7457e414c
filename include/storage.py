"""Files in a folder of this machine or in an object store, written so that a reader sees them whole.

A place is a pathlib.Path or looks like one: UPath, Airflow's ObjectStoragePath.
"""

import os
import uuid
from pathlib import Path
from typing import Any, cast


def open_folder(location: str) -> Path:
    """Return the folder, made absolute, or the path at an object-store URI (s3://conn_id@bucket/path)."""
    if "://" not in location:
        return Path(location).absolute()
    from airflow.sdk import ObjectStoragePath  # noqa: PLC0415 (takes seconds, and a folder needs none of it)

    root = ObjectStoragePath(location)
    # A store's listing may be remembered, without what others have written since.
    root.fs.dircache.use_listings_cache = False
    root.fs.invalidate_cache()
    return cast(Path, root)


def on_this_machine(path: Any) -> Path | None:
    """Return the path as one of this machine's file system, None where it lies in an object store."""
    if isinstance(path, Path):
        return path
    return Path(path.path) if path.protocol in ("", "file", "local") else None


def replace_file(path: Any, content: bytes) -> None:
    """Write a file in one step, as object stores do: in a folder that takes a rename."""
    local = on_this_machine(path)
    if local is None:
        path.write_bytes(content)
        return
    draft = local.with_name(f".{local.name}.{uuid.uuid4().hex}")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(local)
    finally:
        draft.unlink(missing_ok=True)
