"""What is installed is what was locked: each file of a package has its hash, and a wrong one is refused."""

import hashlib
import re
import shlex
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.deployment.image import instructions
from tests.deployment.tools import ROOT, SEARCH_PATH, run

LOCKS = [*ROOT.glob("requirements*.txt"), ROOT / "streaming_workers/requirements.txt"]
HASH = r"(?: \\\n    --hash=sha256:[0-9a-f]{64})"


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_pin_has_its_hashes(lock: Path) -> None:
    text = lock.read_text()
    pins = re.findall(r"^[a-z0-9].*", text, re.MULTILINE)
    assert pins
    assert len(re.findall(rf"^[a-z0-9][^\\\n]+{HASH}+$", text, re.MULTILINE)) == len(pins)


def test_uv_itself_is_locked() -> None:
    version = re.search(r"^UV_VERSION := (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert version
    assert (ROOT / "requirements-uv.txt").read_text().startswith(f"uv=={version[1]} \\\n")


def test_everything_that_installs_a_lock_asks_for_its_hashes() -> None:
    makers = [ROOT / name for name in ("Makefile", "Dockerfile", "streaming_workers/Dockerfile")]
    lines = [
        line
        for maker in makers
        for line in maker.read_text().replace("\\\n", "").splitlines()
        if re.search(r"\bpip (install|sync)\b", line)
    ]
    assert len(lines) == 4
    assert [line for line in lines if "--require-hashes" not in line] == []


def wheel(folder: Path, name: str, version: str) -> str:
    """Make a wheel of one module; return its SHA-256."""
    module = name.replace("-", "_")
    path = folder / f"{module}-{version}-py3-none-any.whl"
    info = f"{module}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{module}.py", "")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return hashlib.sha256(path.read_bytes()).hexdigest()


IMAGES_IN = ("Dockerfile", "streaming_workers/Dockerfile", "docker-compose.yaml")


def images(folder: Path) -> dict[str, str]:
    """Return what follows the tag of each image of others: @sha256:… or nothing."""
    text = "".join((folder / name).read_text() for name in IMAGES_IN)
    return dict(re.findall(r"^(?:FROM|    image:) ([^ $:]+):[\w.-]+(\S*)$", text, re.MULTILINE))


def test_images_name_a_release_and_a_digest_where_they_have_one() -> None:
    found = images(ROOT)
    assert len(found) == 7
    text = "".join((ROOT / name).read_text() for name in IMAGES_IN)
    for image, digest in found.items():
        assert re.search(rf"{re.escape(image)}:v?[0-9]+\.[0-9]+", text), image
        assert re.fullmatch(r"(@sha256:[0-9a-f]{64})?", digest), image


@pytest.mark.parametrize(("answer", "exit_code"), [("sha256:" + "c" * 64, 0), ("<no value>", 2)])
def test_every_image_gets_the_digest_of_its_tag(answer: str, exit_code: int, tmp_path: Path) -> None:
    (tmp_path / "streaming_workers").mkdir()
    for name in IMAGES_IN:
        (tmp_path / name).write_text((ROOT / name).read_text())
    docker = tmp_path / "bin/docker"
    docker.parent.mkdir()
    docker.write_text(f"#!/bin/sh\necho '{answer}'\n")
    docker.chmod(0o755)
    before = images(tmp_path)
    done = subprocess.run(
        ["make", f"--makefile={ROOT / 'Makefile'}", "digests"],
        cwd=tmp_path,
        env={"PATH": f"{docker.parent}:{SEARCH_PATH}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == exit_code, done.stderr
    assert images(tmp_path) == (before if exit_code else dict.fromkeys(before, f"@{answer}"))
    assert "${IMAGE_TAG:-local}" in (tmp_path / "docker-compose.yaml").read_text()


class AirflowImage:
    """A virtualenv with an Airflow build of its own, and the line of the Dockerfile that installs a lock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.links = folder / "links"
        self.links.mkdir()
        own = {"apache-airflow": "3.3.2", "apache-airflow-core": "3.3.2", "apache-airflow-task-sdk": "1.3.2"}
        for name, version in own.items():
            wheel(self.links, name, f"{version}+astro.1")
        self.lock = {name: (version, "0" * 64) for name, version in own.items()}
        self.lock["added"] = ("1.0", wheel(self.links, "added", "1.0"))
        (folder / "uv.toml").write_text(f'no-index = true\nfind-links = ["{self.links}"]\n')
        assert run("uv", "venv", str(folder / "venv")).returncode == 0
        installed = [f"{name}=={version}+astro.1" for name, version in own.items()]
        result = self.sh(shlex.join(["uv", "pip", "install", *installed]))
        assert result.returncode == 0, result.stderr

    def sh(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the folder, with the virtualenv as the system's Python and no index."""
        return subprocess.run(
            ["bash", "-o", "pipefail", "-c", command.replace(" --system", "").replace("/tmp/", "")],
            cwd=self.folder,
            env={
                "PATH": SEARCH_PATH,
                "VIRTUAL_ENV": str(self.folder / "venv"),
                "UV_CONFIG_FILE": str(self.folder / "uv.toml"),
                "UV_CACHE_DIR": str(self.folder / "cache"),
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=500,
        )

    def install(self) -> subprocess.CompletedProcess[str]:
        """Install the lock as the Dockerfile does."""
        pins = [
            f"{name}=={version} \\\n    --hash=sha256:{digest}\n    # via something"
            for name, (version, digest) in self.lock.items()
        ]
        (self.folder / "requirements.txt").write_text("\n".join(pins) + "\n")
        (line,) = [
            rest for word, rest in instructions(ROOT / "Dockerfile") if word == "RUN" and "--require" in rest
        ]
        return self.sh(line)

    def packages(self) -> set[str]:
        """Return what is installed, each as name==version."""
        return set(self.sh("uv pip freeze").stdout.split())


@pytest.fixture
def image(tmp_path: Path) -> AirflowImage:
    return AirflowImage(tmp_path)


def test_the_image_keeps_its_own_airflow_beside_the_lock(image: AirflowImage) -> None:
    before = image.packages()
    assert len(before) == 3
    result = image.install()
    assert result.returncode == 0, result.stderr
    assert image.packages() == before | {"added==1.0"}


def test_the_image_refuses_a_package_that_is_not_the_locked_one(image: AirflowImage) -> None:
    image.lock["added"] = ("1.0", "f" * 64)
    result = image.install()
    assert result.returncode != 0
    assert "Hash mismatch for `added==1.0`" in result.stderr


def test_the_image_refuses_a_lock_for_another_airflow(image: AirflowImage) -> None:
    image.lock["apache-airflow-core"] = ("3.3.3", "0" * 64)
    result = image.install()
    assert result.returncode != 0
    assert "< apache-airflow-core==3.3.3" in result.stdout
    assert "added==1.0" not in image.packages()


@pytest.mark.parametrize("folder", ["standalone/kafka", "tests/containers/standins"])
def test_every_pom_has_the_checksums_of_its_jars_beside_it(folder: str) -> None:
    """A list of another pom refuses what Maven brings, before any container starts."""
    pom, jars = ((ROOT / folder / name).read_text() for name in ("pom.xml", "jars.sha512"))
    artifact = r"<artifactId>([\w.-]+)</artifactId>\s*<version>([\d.]+)</version>"
    pinned = re.findall(artifact, pom.partition("<dependencies>")[2].partition("</dependencies>")[0])
    assert len(pinned) >= 2
    listed = re.findall(r"^[0-9a-f]{128}  (\S+)\.jar$", jars, re.MULTILINE)
    assert len(listed) == len(jars.splitlines())
    assert [one for one in pinned if "-".join(one) not in listed] == []
