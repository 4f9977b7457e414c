"""The base images under their real names: pulled where a registry answers, else stand-ins made here.

A stand-in has the software, users, volumes and commands that the Dockerfiles and the compose file rely on. It
has not the real image's own entrypoint and digest, and of PostgreSQL, Redis and Java it has Debian's version.
"""

import hashlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from standalone.kafka.jars import fetch_jars
from tests.containers.engine import Engine
from tests.deployment.compose import services_of
from tests.deployment.tools import ROOT

STANDINS = Path(__file__).with_name("standins")
LABEL = "standin"
DEBIAN = "standin/debian:bookworm"
PYTHON = "standin/python"
DOCKERFILES = (ROOT / "Dockerfile", ROOT / "streaming_workers/Dockerfile")


def provide(engine: Engine, cache: Path) -> set[str]:
    """Have every base image in the engine; return the names, with their digests, that are stand-ins."""
    return {name for name in sorted(base_images()) if not _provide(engine, name, cache)}


def without_digests(text: str, standins: set[str]) -> str:
    """Return a Dockerfile or compose file that takes the stand-ins, which have no digest."""
    for name in standins:
        text = text.replace(name, name.partition("@")[0])
    return text


def build(engine: Engine, standins: set[str], tag: str) -> None:
    """Build both images of the product as `make images` does."""
    for dockerfile, name in zip(DOCKERFILES, ("airflow", "workers"), strict=True):
        with TemporaryDirectory() as folder:
            file = Path(folder) / "Dockerfile"
            file.write_text(without_digests(dockerfile.read_text(encoding="utf-8"), standins))
            image = f"marketing-insight-pipeline/{name}:{tag}"
            engine.docker("build", "--quiet", "--file", file, "--tag", image, ROOT)


def base_images() -> set[str]:
    """Return the images that the Dockerfiles and the compose file name and that nobody here builds."""
    bases = {
        name for file in DOCKERFILES for name in re.findall(r"^FROM (\S+)", file.read_text(), re.MULTILINE)
    }
    services = services_of("simulator,scale").values()
    return bases | {service["image"] for service in services if "build" not in service}


def _provide(engine: Engine, name: str, cache: Path) -> bool:
    """Return whether the image is the real one."""
    if engine.answers("pull", "--quiet", name):
        return True
    name = name.partition("@")[0]
    if not engine.docker("images", "--quiet", "--filter", f"label={LABEL}={_recipe()}", name):
        kind = name.rpartition("/")[2].partition(":")[0]
        BUILDERS[kind](engine, name, cache)
    return False


def _recipe() -> str:
    """Return a checksum of what the stand-ins are made from."""
    found = hashlib.sha256()
    for file in sorted(STANDINS.iterdir()):
        found.update(file.read_bytes())
    return found.hexdigest()


def _debian(engine: Engine) -> None:
    if engine.answers("image", "inspect", DEBIAN):
        return
    with TemporaryDirectory() as folder:
        tar = Path(folder) / "debian.tar"
        engine.run(str(STANDINS / "debian.sh"), tar)
        certificates = "ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"  # for uv, which asks no system
        engine.docker("import", "--change", certificates, tar, DEBIAN)


def _python(engine: Engine, name: str, _: Path) -> None:
    _debian(engine)
    found = re.search(r":(\d+\.\d+)", name)
    assert found, name
    with TemporaryDirectory() as folder:
        engine.run(str(STANDINS / "python.sh"), found[1], Path(folder) / "python.tar")
        _build(engine, name, "python", Path(folder), VERSION=found[1])


def _astro(engine: Engine, name: str, cache: Path) -> None:
    found = re.search(r"-python-([\d.]+)", name)
    assert found, name
    _python(engine, f"{PYTHON}:{found[1]}", cache)
    engine.docker("tag", f"{PYTHON}:{found[1]}", PYTHON)
    uv = re.search(r"^UV_VERSION := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert uv
    with TemporaryDirectory() as folder:
        # The pins alone: hashes would be asked of every package then.
        lock = (ROOT / "requirements.txt").read_text().splitlines()
        pins = [line.removesuffix(" \\") for line in lock if re.match(r"\w\S*==", line)]
        (Path(folder) / "airflow.txt").write_text("\n".join(pins))
        for file in ("local_version.py", "install-system-packages"):
            shutil.copy(STANDINS / file, folder)
        _build(engine, name, "astro", Path(folder), UV_VERSION=uv[1])


def _kafka(engine: Engine, name: str, cache: Path) -> None:
    _debian(engine)
    jars = fetch_jars(STANDINS / "pom.xml", cache / "jars", STANDINS / "jars.sha512")
    with TemporaryDirectory() as folder:
        shutil.copytree(jars, Path(folder) / "jars")
        for file in ("kafka-run", "kafka-tool", "log4j2.yaml", "tools-log4j2.yaml"):
            shutil.copy(STANDINS / file, folder)
        _build(engine, name, "kafka", Path(folder))


def _server(engine: Engine, name: str, _: Path) -> None:
    _debian(engine)
    _build(engine, name, name.partition(":")[0], STANDINS)


def _build(engine: Engine, name: str, kind: str, context: Path, **arguments: str) -> None:
    options = [word for key, value in arguments.items() for word in ("--build-arg", f"{key}={value}")]
    options += ["--label", f"{LABEL}={_recipe()}", "--file", str(STANDINS / f"{kind}.Dockerfile")]
    engine.docker("build", "--quiet", *options, "--tag", name, context)


BUILDERS: dict[str, Callable[[Engine, str, Path], None]] = {
    "runtime": _astro,
    "python": _python,
    "postgres": _server,
    "redis": _server,
    "kafka": _kafka,
}
