"""The folder that the shop delivers to, on this machine or in an object store.

Nothing in it is left out in silence. A file is a part of a data set, or a known companion of one (checksum,
`_SUCCESS`, README, dot file), or an error where it may hold data that is missed, or else goes into log and
ledger with the reason.
"""

import csv
import io
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from airflow.sdk import ObjectStoragePath
from fsspec.asyn import AsyncFileSystem, sync  # type: ignore[import-untyped]
from fsspec.exceptions import FSTimeoutError  # type: ignore[import-untyped]

from include.ingestion.datasets import DATASETS, Dataset, owner_of, resembled_by
from include.ingestion.delimited import DELIMITERS, UTF_16_32, is_filled
from include.ingestion.errors import IngestionError, SourceUnavailableError
from include.ingestion.origin import MARKER
from include.ingestion.workbooks import open_workbook
from include.settings import get_settings

READABLE = {"csv", "txt", "tsv", "tab", "psv", "xlsx", "xlsm", "gz", "gzip"}
ARCHIVES = {"zip", "tar", "tgz", "tbz", "tbz2", "txz", "7z", "rar", "bz2", "xz", "zst", "lz4", "z"}
UPLOADS = {"part", "partial", "filepart", "tmp", "temp", "crdownload", "download", "opdownload", "upload"}
UPLOADS |= {"uploading", "inprogress", "incomplete", "writing", "aria2"}
OTHER_TABLES = {"xls", "xlsb", "ods", "numbers", "parquet", "orc", "avro", "json", "jsonl", "ndjson", "xml"}
COMPANION = re.compile(
    # dot files; Excel's lock file beside an open workbook; the marks that Hadoop and Spark leave
    r"\..*|~\$.*|_(?:SUCCESS|(?:started|committed)_\d+)"
    r"|.*\.(?:md5|sha\d{1,3}|crc(?:32c?)?|asc|sig|done|ok|ready)|(?:md5|sha\d{1,3}|check)sums?(?:\.txt)?"
    r"|readme(?:\.\w+)?|licen[cs]e(?:\.\w+)?|thumbs\.db|desktop\.ini",
    re.IGNORECASE,
)
VERSION_KEYS = ("size", "ino", "mtime", "ETag", "etag", "md5Hash", "LastModified", "last_modified", "updated")

UNKNOWN_NAME = "has a name that no data set knows"
PEEK_BYTES = 1 << 16
MOST_LOOKED_INTO = 50  # files of unknown names, each a request where they lie in a store

Version = tuple[Any, ...]


@dataclass(frozen=True)
class Inbox:
    """A data set's files, one a part, in order of their parts, and why others of the folder are left out.

    `left_out` gives the reasons; what belongs to another data set is not in it.
    """

    files: list[ObjectStoragePath]
    left_out: dict[ObjectStoragePath, str]
    is_generated: bool


def open_inbox(location: str, dataset: Dataset) -> Inbox:
    """Sort the files of a folder or object-store URI.

    Raises IngestionError where a data set that is needed has no file, where two claim the same part, or where
    one may hold rows of it but cannot be used as it is.
    """
    if not location:
        raise IngestionError("No source folder is set: give source_location or the setting SOURCE_LOCATION.")
    parts: dict[ObjectStoragePath, str] = {}
    left_out: dict[ObjectStoragePath, str] = {}
    is_generated, looked_into = False, 0
    for path, is_folder in _list_files(location):
        is_generated |= path.name == MARKER
        owner, fault = _judge(path, is_folder)
        if fault == UNKNOWN_NAME and looked_into < MOST_LOOKED_INTO and _endings(path.name) <= READABLE:
            looked_into += 1
            owner = _recognised(path)
            fault = _fault(path.name, _endings(path.name), owner)
        if owner is dataset and fault:
            raise IngestionError(f"{path.name} {fault}.")
        if owner is dataset:
            parts[path] = dataset.part_of(path.name) or ""
        elif owner is None and fault:
            left_out[path] = fault
    if not parts and dataset.needed:
        raise IngestionError(
            f"No file for {dataset.name} in {location}: expected a name like {dataset.aliases[0]}.csv."
        )
    for part, count in Counter(parts.values()).items():
        if count > 1:
            names = sorted(path.name for path, p in parts.items() if p == part)
            raise IngestionError(f"Several files claim to be {dataset.name}: {', '.join(names)}; keep one.")
    return Inbox(sorted(parts, key=lambda path: parts[path]), left_out, is_generated)


def _list_files(location: str) -> Iterator[tuple[ObjectStoragePath, bool]]:
    """Yield what lies in the folder, and whether it is a folder itself; one request a thousand objects."""
    # Not Path.as_uri(): a blank would become %20, which no file system turns back.
    uri = location if "://" in location else f"file://{Path(location).expanduser().resolve()}"
    try:
        folder = ObjectStoragePath(uri)
        fs = folder.fs
    except (ValueError, ImportError) as error:  # an unknown scheme, or its provider is not installed
        raise IngestionError(f"Source {location} cannot be opened: {error}.") from error
    fs.invalidate_cache()
    with _told(f"Source folder {location}", missing="does not exist"):
        found = ask(fs, "ls", folder.path, detail=True)
    if any(entry["type"] == "file" and entry["name"] == folder.path for entry in found):
        raise IngestionError(f"Source folder {location} does not exist: it is a file.")
    for entry in found:
        if not _same(entry["name"], folder.path):  # a store may keep an empty object in the folder's name
            yield folder / entry["name"].rstrip("/").rpartition("/")[2], entry["type"] == "directory"


def _same(one: str, other: str) -> bool:
    return one.strip("/") == other.strip("/")


def _judge(path: ObjectStoragePath, is_folder: bool) -> tuple[Dataset | None, str | None]:
    """Return whose file it is, if anybody's, and what keeps it from being read, if anything."""
    name = path.name
    endings = _endings(name)
    if COMPANION.fullmatch(name):
        return None, None
    owner = owner_of(name)
    if is_folder:
        owner = owner or resembled_by(name)
        is_empty = owner is not None and not ask(path.fs, "ls", path.path, detail=False)
        return None if is_empty else owner, "is a folder; deliver its files beside the others"
    if owner is None and endings <= READABLE | ARCHIVES | UPLOADS | OTHER_TABLES:
        owner = resembled_by(name)
    return owner, _fault(name, endings, owner)


def _endings(name: str) -> set[str]:
    return set(name.lower().split(".")[1:])


def _recognised(path: ObjectStoragePath) -> Dataset | None:
    """Return the data set whose columns a file of another name has; None too where it cannot be read."""
    try:
        headers = list(_headers(path))
    except (IngestionError, SourceUnavailableError, zlib.error):
        return None
    for dataset in DATASETS.values():
        for header in headers:
            found = [column for column in dataset.known_columns(header) if column]
            # A list of products may well have a category and its tax among many columns.
            if set(dataset.columns) <= set(found) and 2 * len(found) > len(header):
                return dataset
    return None


def _headers(path: ObjectStoragePath) -> Iterator[list[str]]:
    """Yield the first row of a text, by each delimiter, or of each sheet."""
    with _told(path.name, missing="vanished"):
        start = ask(path.fs, "cat_file", path.path, start=0, end=PEEK_BYTES)
    if start.startswith(b"PK"):
        with (
            TemporaryDirectory(prefix="ingestion-") as folder,
            open_workbook(on_this_machine(path, Path(folder)), path.name) as sheets,
        ):
            yield from [sheet.header() for sheet in sheets]
        return
    if start.startswith(b"\x1f\x8b"):
        start = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16).decompress(start, PEEK_BYTES)
    encoding = next((name for mark, name in UTF_16_32.items() if start.startswith(mark)), "utf-8-sig")
    text = start.decode(encoding, errors="replace")
    for delimiter in DELIMITERS:
        try:
            yield next(filter(is_filled, csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)), [])
        except csv.Error:  # no table at all
            return


def _fault(name: str, endings: set[str], owner: Dataset | None) -> str | None:
    if endings & UPLOADS:
        return "is an upload under way, or was left by one; finish it or remove the file"
    if endings & ARCHIVES:
        return "is an archive; unpack it and deliver the file that it holds"
    if owner is None:
        return UNKNOWN_NAME
    if not endings <= READABLE:
        return "has an ending that is not known; deliver it as .csv, .csv.gz or .xlsx, or remove it"
    if owner.part_of(name) is None:
        return (
            f"looks like a part of {owner.name} but is not named like one; call it"
            f" {owner.aliases[0]}_2.csv (any number), or remove it"
        )
    return None


def ask(fs: Any, method: str, *args: Any, **options: Any) -> Any:
    """Call a method of a file system; where it is a store's, for SOURCE_TIMEOUT_SECONDS at most."""
    if isinstance(fs, AsyncFileSystem):
        limit = get_settings().source_timeout_seconds
        return sync(fs.loop, getattr(fs, f"_{method}"), *args, timeout=limit, **options)
    return getattr(fs, method)(*args, **options)


@contextmanager
def _told(what: str, missing: str) -> Iterator[None]:
    """Turn the errors of whatever store it is into ours: IngestionError where a retry cannot help."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise IngestionError(f"{what} {missing}.") from error
    except PermissionError as error:
        raise IngestionError(f"{what} may not be read: {_in_a_line(error)}.") from error
    except FSTimeoutError as error:
        limit = get_settings().source_timeout_seconds
        raise SourceUnavailableError(
            f"{what} did not come within {limit:g} s (SOURCE_TIMEOUT_SECONDS); nothing of it was loaded."
        ) from error
    except Exception as error:  # each store has errors of its own, and not all are an OSError
        raise SourceUnavailableError(f"{what} cannot be read: {_in_a_line(error)}.") from error


def _in_a_line(error: Exception) -> str:
    return " ".join((str(error) or type(error).__name__).split()).rstrip(".")


def version_of(path: ObjectStoragePath) -> Version:
    """What changes when the file does: size and whichever time stamp or tag its store keeps."""
    path.fs.invalidate_cache()  # a store's listing may be remembered
    with _told(path.name, missing="vanished while it was read; nothing of it was loaded"):
        info = ask(path.fs, "info", path.path)
    return tuple(info.get(key) for key in VERSION_KEYS)


def on_this_machine(path: ObjectStoragePath, folder: Path) -> Path:
    """Return a copy, or a link: readers take * and [ in a path for patterns and trust an ending like .gz."""
    local = folder / "delivered"
    if path.protocol in {"file", "local", ""}:
        local.symlink_to(path.path)
        return local
    with _told(path.name, missing="vanished while it was read; nothing of it was loaded"):
        ask(path.fs, "get_file", path.path, str(local))
    return local
