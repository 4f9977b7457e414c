"""Builds what a Dockerfile of ours describes, without a container engine: files, packages and variables.

The build context is what .dockerignore lets in, by Docker's own rules. COPY, ENV, WORKDIR and the RUN lines
that make files of the project are carried out in a folder, and a virtualenv of the image's lock stands for
its Python. What needs root or the base image (packages of the system, users) is not.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from docker.utils import exclude_paths  # type: ignore[import-untyped]

from tests.deployment.tools import ROOT, SEARCH_PATH, run

VOLUME = "/var/lib/marketing"
OURS = ("python -m ", "dbt ")  # RUN lines with these make files of the project


def context(tree: Path) -> set[str]:
    """Return the files under tree that its .dockerignore lets into a build."""
    lines = (tree / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    always = {".dockerignore", "Dockerfile"}
    return {path for path in exclude_paths(str(tree), patterns) if (tree / path).is_file()} - always


def instructions(dockerfile: Path) -> list[tuple[str, str]]:
    """Return each instruction of a Dockerfile with what follows it, its continued lines in one."""
    text = re.sub(r"^#.*\n", "", dockerfile.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [
        (word, " ".join(rest.split())) for word, rest in re.findall(r"^([A-Z]+) (.+)$", text, re.MULTILINE)
    ]


@dataclass
class Image:
    """What was built in `folder`: working directory, the volume's folder, variables and a virtualenv."""

    folder: Path
    lock: str
    workdir: str = ""
    env: dict[str, str] = field(default_factory=dict)

    @property
    def bin(self) -> Path:
        """Where the image's programs are."""
        return self.folder / "venv" / "bin"

    @property
    def home(self) -> Path:
        """What the image's first working directory is."""
        return self.folder / "home"

    def here(self, path: str) -> Path:
        """Return where a path of the image lies on this machine."""
        moved = self.moved(path)
        assert moved.startswith(str(self.folder)), f"{path} is no path of ours"
        return Path(moved)

    def moved(self, text: str) -> str:
        """Return text with the image's own paths led to this machine's."""
        return text.replace(VOLUME, str(self.folder / "volume")).replace(self.workdir, str(self.home))

    def variables(self, changes: Mapping[str, str | None] | None = None) -> dict[str, str]:
        """Return the variables of a container of this image with those of a service; None is not set."""
        own = {name: self.moved(value) for name, value in self.env.items()}
        service = {name: value for name, value in (changes or {}).items() if value is not None}
        return {**own, **service, "PATH": f"{self.bin}:/usr/bin:/bin", "HOME": str(self.folder)}

    def run(self, argv: Iterable[str], cwd: str = "", **env: str) -> subprocess.CompletedProcess[str]:
        """Run a command as in a container."""
        return subprocess.run(
            list(argv),
            cwd=self.here(cwd or self.workdir),
            env=self.variables(env),
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )


def build(dockerfile: str, lock: str, folder: Path) -> Image:
    """Build an image of the project's root in folder, from a Dockerfile and the lock that it installs."""
    image = Image(folder, lock)
    own = {**os.environ, "PATH": SEARCH_PATH}  # a proxy or a mirror that this machine needs
    venv = folder / "venv"
    for command in (["venv", str(venv)], ["pip", "sync", "--require-hashes", "--python", str(venv), lock]):
        result = run("uv", *command, env=own)
        assert result.returncode == 0, result.stderr
    files, here = context(ROOT), ""
    for word, rest in instructions(ROOT / dockerfile):
        if word == "WORKDIR":
            here, image.workdir = rest, image.workdir or rest
            image.here(here).mkdir(parents=True, exist_ok=True)
        elif word == "ENV":
            image.env |= dict(re.findall(r"(\w+)=(\S+)", rest))
        elif word == "COPY":
            *sources, target = [one for one in rest.split() if not one.startswith("--")]
            _copy(files, sources, image.here(os.path.join(here, target)), target)  # noqa: PTH118 (keeps the /)
        elif word == "RUN" and rest.startswith(OURS):
            result = image.run(["bash", "-c", rest], cwd=here)
            assert result.returncode == 0, result.stdout + result.stderr
    return image


def _copy(files: set[str], sources: list[str], target: Path, as_written: str) -> None:
    """Copy as COPY does: a folder's content, or files, into a folder or under a name."""
    for source in sources:
        inside = {path for path in files if source in {".", path} or path.startswith(f"{source}/")}
        assert inside, f"COPY {source}: not in the build context"
        for path in inside:
            into_folder = as_written.endswith(("/", ".")) or len(sources) > 1
            if path == source:
                place = target / Path(path).name if into_folder else target
            else:
                place = target / (path if source == "." else Path(path).relative_to(source))
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, place)
