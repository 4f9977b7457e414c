"""The registry of the segment model: every version is kept, one of them is current.

    ROOT/promotions/<number>.json   the newest names the version in use, and those in use before it
    ROOT/versions/<version>/     one training: model, segments, metrics, model card
    ROOT/versions/<version>/version.json   written last, with each file's SHA-256; without it: no version

ROOT is a local folder or any path with pathlib's interface (UPath, Airflow's ObjectStoragePath). A reader
always sees a whole version, since files of a version never change. A promotion is a file that only one can
create: of two at the same time, on whatever machines, the later one sees the other first.

    python -m ml.registry list | promote VERSION [--override CHECK]... | rollback
    python -m ml.registry erase CUSTOMER | prune DAYS | gates
"""

import contextlib
import getpass
import hashlib
import json
import os
import re
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pandas as pd
import typer
from rich import box
from rich.console import Console
from rich.table import Column, Table

from include.settings import get_settings, run_command
from include.storage import on_this_machine, open_folder, replace_file
from ml.features import CUSTOMER_ID, CustomerFeatures, parse_features

if TYPE_CHECKING:
    from ml.segmentation import SegmentModel

MODEL_FILE = "model.json"
SEGMENTS_FILE = "segments.csv"
FEATURES_FILE = "features.csv"  # what the version was trained on: it can be trained again from here
METRICS_FILE = "metrics.json"
PARAMETERS_FILE = "parameters.json"
CARD_FILE = "model_card.md"
MANIFEST = "version.json"
PROMOTIONS = "promotions"
FIRST_POINTER = "current.json"  # of a registry that was made before promotions had numbers
_VERSION = re.compile(r"\d{8}T\d{12}Z-[0-9a-f]{8}")

Decision = Literal["accepted", "forced", "rejected"]


class RegistryError(Exception):
    """The registry cannot do that: one sentence that names the version or file."""


@dataclass(frozen=True)
class Version:
    """One training's manifest; `files` maps each file's name to its SHA-256 (hex).

    `failed` names the checks of the gate that failed, each with its sentence in `findings`.
    """

    version: str
    created_at: str
    fingerprint: str
    decision: Decision
    findings: tuple[str, ...]
    dry_run: bool
    files: Mapping[str, str]
    failed: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Current:
    """The version in use, and those used before it, the newest first.

    `override` names the failed checks that a person let pass, and `by` that person, where there is one.
    """

    version: str
    promoted_at: str
    forced: bool
    earlier: tuple[str, ...] = field(default=())
    override: tuple[str, ...] = field(default=())
    by: str = ""


class Registry:
    """The versions below one folder; `root` is a pathlib.Path or looks like one."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def new_version(self, fingerprint: str) -> str:
        """Reserve and return a unique version id: UTC time and the start of the features' fingerprint."""
        while True:
            version = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}Z-{fingerprint[:8]}"
            with contextlib.suppress(FileExistsError):
                self._folder(version).mkdir(parents=True, exist_ok=False)
                return version

    def write(
        self,
        version: str,
        files: Mapping[str, bytes],
        *,
        fingerprint: str,
        decision: Decision,
        findings: tuple[str, ...],
        failed: tuple[str, ...] = (),
        dry_run: bool,
    ) -> Version:
        """Write a version's files, then the manifest that makes them a version; return the manifest.

        `files` maps names such as `plots/segments.png` to contents. Raises RegistryError if it was written
        before.
        """
        folder = self._folder(version)
        if (folder / MANIFEST).exists():
            raise RegistryError(f"Version {version} exists: a version is written once.")
        digests = {}
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
            digests[name] = hashlib.sha256(content).hexdigest()
        manifest = Version(version, _now(), fingerprint, decision, findings, dry_run, digests, failed)
        replace_file(folder / MANIFEST, _to_json(asdict(manifest)))
        return manifest

    def get(self, version: str) -> Version:
        """Return a version's manifest; raises RegistryError where there is none."""
        if not _VERSION.fullmatch(version):
            raise RegistryError(f"{version!r} is no version id.")
        path = self._folder(version) / MANIFEST
        if not path.exists():
            raise RegistryError(
                f"There is no version {version} in {self._root}, or its training did not end."
            )
        stored = _read_json(path)
        try:
            lists = {name: tuple(stored.get(name, ())) for name in ("findings", "failed")}
            found = Version(**{**stored, **lists})
            datetime.fromisoformat(found.created_at)
            dict(found.files)
        except (TypeError, ValueError) as error:
            raise RegistryError(f"{path} is no manifest of a version: {error}.") from error
        return found

    def versions(self) -> list[Version]:
        """Return all versions, the oldest first, without the damaged and those whose training did not end."""
        return [one for one in self._read_versions() if isinstance(one, Version)]

    def damaged(self) -> list[str]:
        """Return a sentence on each version whose manifest cannot be read."""
        return [str(one) for one in self._read_versions() if isinstance(one, RegistryError)]

    def _read_versions(self) -> Iterator[Version | RegistryError]:
        folder = self._root / "versions"
        if not folder.exists():
            return
        for name in sorted(path.name for path in folder.iterdir() if _VERSION.fullmatch(path.name)):
            if (self._folder(name) / MANIFEST).exists():
                try:
                    yield self.get(name)
                except RegistryError as error:
                    yield error

    def current(self) -> Current | None:
        """Return the version in use; None before the first promotion."""
        return self._newest()[1]

    def _newest(self) -> tuple[int, Current | None]:
        """Return the number of the newest promotion, and what it says; 0 and None before the first."""
        folder = self._root / PROMOTIONS
        numbers = (
            [int(path.stem) for path in folder.iterdir() if path.stem.isdigit()] if folder.exists() else []
        )
        number = max(numbers, default=0)
        path = folder / f"{number:06d}.json" if number else self._root / FIRST_POINTER
        if not path.exists():
            return 0, None
        stored = _read_json(path)
        lists = {name: tuple(stored.get(name, ())) for name in ("earlier", "override")}
        try:
            return number, Current(**{**stored, **lists})
        except TypeError as error:
            raise RegistryError(f"{path} is no pointer to a version: {error}.") from error

    def promote(
        self,
        version: str,
        *,
        override: Collection[str] = (),
        by: str = "",
        replacing: str | Literal["any"] | None = "any",
    ) -> Current:
        """Make a version the current one; a second call changes nothing.

        `replacing` is the version that must be current now (None: none), so that a training that was compared
        with one version does not replace another. A rejected version needs an `override` of each check that
        it failed; that and `by`, who says so, are recorded. Raises RegistryError otherwise, and for a version
        whose files are damaged.
        """
        manifest = self.get(version)
        if manifest.decision == "rejected" and (not manifest.failed or set(manifest.failed) - set(override)):
            raise RegistryError(f"Version {version} was rejected: {' '.join(manifest.findings)}")
        self._verify(manifest)
        forced = manifest.decision != "accepted"
        allowed = tuple(sorted(set(override).intersection(manifest.failed)))

        def following(current: Current | None) -> Current:
            in_use = current.version if current else None
            if current and in_use == version:
                return current
            if replacing not in ("any", in_use):
                raise RegistryError(
                    f"Version {version} was compared with {replacing or 'no version'}, but"
                    f" {in_use or 'none'} is in use now: train again."
                )
            earlier = (current.version, *current.earlier) if current else ()
            return Current(version, _now(), forced, earlier, allowed, by)

        return self._point(following)

    def rollback(self) -> Current:
        """Make the version in use before the current one current; raises RegistryError if there is none.

        Its files are verified, as those of a promoted one.
        """

        def before(current: Current | None) -> Current:
            there = [one for one in current.earlier if self._is_whole(one)] if current else []
            if not there:
                raise RegistryError(f"There is no version to go back to in {self._root}.")
            version, *earlier = there
            manifest = self.get(version)
            self._verify(manifest)
            return Current(version, _now(), manifest.decision != "accepted", tuple(earlier))

        return self._point(before)

    def _point(self, following: Callable[[Current | None], Current]) -> Current:
        """Say which version is current after what `following` is given; again if another was faster."""
        while True:
            number, current = self._newest()
            then = following(current)
            path = self._root / PROMOTIONS / f"{number + 1:06d}.json"
            if then == current or _create(path, _to_json(asdict(then))):
                return then

    def read(self, version: str, name: str) -> bytes:
        """Return a file of a version; raises RegistryError if it is not what the training wrote."""
        manifest = self.get(version)
        path = self._folder(version) / name
        if name not in manifest.files or not path.exists():
            raise RegistryError(f"Version {version} has no file {name}.")
        content: bytes = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != manifest.files[name]:
            raise RegistryError(f"{name} of version {version} was changed after the training.")
        return content

    def model(self, version: str) -> "SegmentModel":
        """Return a version's model; raises RegistryError, or SegmentationError for another format."""
        from ml.segmentation import SegmentModel  # noqa: PLC0415 (scikit-learn: half of a command's time)

        return SegmentModel.from_json(self.read(version, MODEL_FILE).decode())

    def features(self, version: str) -> CustomerFeatures:
        """Return the features that a version was trained on; raises RegistryError or FeaturesError."""
        return parse_features(self.read(version, FEATURES_FILE), f"{FEATURES_FILE} of version {version}")

    def segments(self, version: str) -> pd.DataFrame:
        """Return a version's customer_id, segment_id and segment_name, one row per customer."""
        return pd.read_csv(BytesIO(self.read(version, SEGMENTS_FILE)))

    def segment_ids(self, version: str) -> "pd.Series[int]":
        """Return a version's segment_id by customer_id."""
        return self.segments(version).set_index(CUSTOMER_ID)["segment_id"]

    def erase(self, customer_id: int) -> list[str]:
        """Take a customer's rows out of the files of every version; return the versions that had some.

        The manifest's checksums follow. Raises RegistryError where such a file or a manifest is damaged: who
        is in there cannot be told.
        """
        self._expect_undamaged()
        return [one.version for one in self.versions() if self._erase(one, customer_id)]

    def _expect_undamaged(self) -> None:
        if damaged := self.damaged():
            raise RegistryError(" ".join(damaged))

    def _erase(self, manifest: Version, customer_id: int) -> bool:
        kept = {
            name: content
            for name in (SEGMENTS_FILE, FEATURES_FILE)
            if name in manifest.files and (content := self._without(manifest, name, customer_id)) is not None
        }
        if not kept:
            return False
        digests = {name: hashlib.sha256(content.encode()).hexdigest() for name, content in kept.items()}
        for name, content in kept.items():
            replace_file(self._folder(manifest.version) / name, content.encode())
        erased = replace(manifest, files={**manifest.files, **digests})
        replace_file(self._folder(manifest.version) / MANIFEST, _to_json(asdict(erased)))
        return True

    def _without(self, manifest: Version, name: str, customer_id: int) -> str | None:
        """Return a file without the customer's row; None if there is none."""
        lines = self.read(manifest.version, name).decode().splitlines(keepends=True)
        position = lines[0].strip().split(",").index(CUSTOMER_ID)
        kept = [line for line in lines if line.strip().split(",")[position] != str(customer_id)]
        return "".join(kept) if len(kept) < len(lines) else None

    def prune(self, before: datetime) -> list[str]:
        """Delete the versions made before a time, but the one in use and the one before it; return them.

        Raises RegistryError where a manifest is damaged: its age cannot be told.
        """
        self._expect_undamaged()
        gone = []
        for one in self.versions():
            current = self.current()  # read anew for each: another may have been promoted meanwhile
            kept = {current.version, *current.earlier[:1]} if current else set()
            if one.version not in kept and datetime.fromisoformat(one.created_at) < before:
                _delete(self._folder(one.version))
                gone.append(one.version)
        return gone

    def gates(self, newest: int = 5) -> list[dict[str, Any]]:
        """Return what the gate said of the newest versions and of the one in use, the newest first.

        Each has version, is_in_use, fitted_at, as_of_date, passed, failed_checks and overridden (names).
        """
        current, versions = self.current(), self.versions()
        in_use = current.version if current else None
        shown = [one for one in versions[:-newest] if one.version == in_use] + versions[-newest:]
        return [
            {
                "version": one.version,
                "is_in_use": one.version == in_use,
                "fitted_at": one.created_at,
                "as_of_date": json.loads(self.read(one.version, PARAMETERS_FILE)).get("as_of_date"),
                "passed": not one.failed and one.decision != "rejected",
                "failed_checks": one.failed,
                "overridden": current.override if current and one.version == in_use else (),
            }
            for one in reversed(shown)
        ]

    def location(self, version: str) -> str:
        """Return where a version's files are."""
        return str(self._folder(version))

    def _folder(self, version: str) -> Path:
        return self._root / "versions" / version

    def _verify(self, manifest: Version) -> None:
        for name in manifest.files:
            self.read(manifest.version, name)

    def _is_whole(self, version: str) -> bool:
        return bool((self._folder(version) / MANIFEST).exists())


def open_registry(location: str = "") -> Registry:
    """Return the registry in a folder or at an object-store URI (s3://conn_id@bucket/path).

    Without a location it is ML_REGISTRY, or the folder `segments` of the local state.
    """
    location = location or os.environ.get("ML_REGISTRY", "")
    return Registry(open_folder(location) if location else get_settings().local_dir / "segments")


def _create(path: Any, content: bytes) -> bool:
    """Write a file in one step, and return whether it was new: one that exists stays as it is."""
    local = on_this_machine(path)
    if local is None:
        try:
            path.fs.pipe_file(path.path, content, mode="create")
        except FileExistsError:
            return False
        return True
    local.parent.mkdir(parents=True, exist_ok=True)
    draft = local.with_name(f".{local.name}.{uuid.uuid4().hex}")
    replace_file(draft, content)
    try:
        local.hardlink_to(draft)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True


def _delete(folder: Any) -> None:
    """Delete a version, its manifest first: what an interruption leaves is no version."""
    (folder / MANIFEST).unlink()
    for path in list(folder.iterdir()):
        if path.is_dir():
            for file in list(path.iterdir()):
                file.unlink()
            path.rmdir()
        else:
            path.unlink()
    folder.rmdir()


def _to_json(value: object) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise RegistryError(f"{path} is damaged: {error}.") from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


app = typer.Typer(
    add_completion=False, help="Versions of the customer segments.", pretty_exceptions_enable=False
)
console = Console(highlight=False)
Location = Annotated[str, typer.Option("--registry", help="Folder or URI; default: ML_REGISTRY.")]


@app.command("list")
def list_versions(registry: Location = "") -> None:
    """List all versions, the current one marked."""
    with _errors_in_a_line():
        opened = open_registry(registry)
        current, versions, damaged = opened.current(), opened.versions(), opened.damaged()
    table = Table("", Column("Version", no_wrap=True), "Decision", "Findings", box=box.SIMPLE_HEAD)
    for one in versions:
        mark = "current" if current and current.version == one.version else ""
        decision = f"{one.decision}{', dry run' if one.dry_run else ''}"
        table.add_row(mark, one.version, decision, "\n".join(one.findings))
    console.print(table)
    for sentence in damaged:
        console.print(sentence, soft_wrap=True, markup=False)


@app.command()
def promote(
    version: str,
    registry: Location = "",
    override: Annotated[
        list[str] | None,
        typer.Option(help="Check that the version failed, by its name; recorded. Repeatable."),
    ] = None,
    by: Annotated[str, typer.Option(help="Who says so; default: the user of this machine.")] = "",
) -> None:
    """Make a version the current one."""
    with _errors_in_a_line():
        said = by or (getpass.getuser() if override else "")
        current = open_registry(registry).promote(version, override=override or (), by=said)
    _print_current(current)


@app.command()
def rollback(registry: Location = "") -> None:
    """Go back to the version before the current one."""
    with _errors_in_a_line():
        current = open_registry(registry).rollback()
    _print_current(current)


@app.command()
def erase(customer_id: int, registry: Location = "") -> None:
    """Take a customer out of every version, and print the versions that had one."""
    with _errors_in_a_line():
        for version in open_registry(registry).erase(customer_id):
            print(version)


@app.command()
def prune(days: int, registry: Location = "") -> None:
    """Delete the versions older than so many days, but the one in use and the one before it."""
    with _errors_in_a_line():
        for version in open_registry(registry).prune(datetime.now(UTC) - timedelta(days=days)):
            print(version)


@app.command()
def gates(registry: Location = "") -> None:
    """Print what the gate said of the newest versions and of the one in use, as JSON."""
    with _errors_in_a_line():
        print(json.dumps(open_registry(registry).gates()))


@contextlib.contextmanager
def _errors_in_a_line() -> Iterator[None]:
    try:
        yield
    except RegistryError as error:
        console.print(str(error), soft_wrap=True, markup=False)
        raise typer.Exit(1) from error


def _print_current(current: Current) -> None:
    console.print(f"Current version: {current.version}", soft_wrap=True)


if __name__ == "__main__":
    run_command(app)
