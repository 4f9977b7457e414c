"""The broker's jars: fetched once from Maven, as pom.xml pins them, for all stacks on this machine."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

from include.settings import PROJECT_ROOT
from standalone.kafka.errors import BrokerError

POM = Path(__file__).with_name("pom.xml")
CHECKSUMS = Path(__file__).with_name("jars.sha512")  # as sha512sum writes and checks them
LIBS = PROJECT_ROOT / ".local" / "kafka" / "libs"
INSTALL_HINT = "On Debian or Ubuntu: apt-get install default-jre-headless maven"


def kafka_version(pom: Path = POM) -> str:
    """Return the version of Kafka that the pom pins."""
    namespace = {"m": "http://maven.apache.org/POM/4.0.0"}
    for dependency in ElementTree.parse(pom).iterfind(".//m:dependency", namespace):  # noqa: S314 (our file)
        if (dependency.findtext("m:artifactId", "", namespace)).startswith("kafka_"):
            return dependency.findtext("m:version", "", namespace)
    raise BrokerError(f"{pom} pins no Kafka")


def jar_dir(pom: Path = POM, libs: Path = LIBS) -> Path:
    """Return the folder of the jars that this very pom asks for; it exists only when it is complete."""
    digest = hashlib.sha256(pom.read_bytes()).hexdigest()[:8]
    return libs / f"{kafka_version(pom)}-{digest}"


def fetch_jars(pom: Path = POM, libs: Path = LIBS, checksums: Path = CHECKSUMS) -> Path:
    """Return the folder of the jars, fetched if missing; of two concurrent calls one fetches.

    Raises BrokerError if Maven is missing or fails, with Maven's own output, and where it brings other jars
    than `checksums` lists.
    """
    target = jar_dir(pom, libs)
    if target.exists():
        return target
    libs.mkdir(parents=True, exist_ok=True)
    with _locked(libs / ".lock"):
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=libs, prefix=".fetching-") as unfinished:
                jars = Path(unfinished) / "jars"
                _copy_dependencies(pom, jars)
                _check(jars, checksums)
                jars.rename(target)
    return target


def find_program(name: str, purpose: str) -> str:
    """Return the path of a program; raises BrokerError that says what to install."""
    home = os.environ.get("JAVA_HOME") if name == "java" else None
    found = shutil.which(name, path=f"{home}/bin" if home else None)
    if found is None:
        where = f"in JAVA_HOME={home}" if home else "on the PATH"
        raise BrokerError(f"{purpose} needs {name}, which is not {where}. {INSTALL_HINT}")
    return found


def _copy_dependencies(pom: Path, target: Path) -> None:
    maven = find_program("mvn", "Fetching Apache Kafka")
    goal = ["dependency:copy-dependencies", f"-DoutputDirectory={target}"]
    result = subprocess.run(  # noqa: S603
        [maven, "--quiet", "--batch-mode", "--strict-checksums", "-f", str(pom), *goal],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise BrokerError(f"Maven could not fetch Apache Kafka:\n{result.stdout.strip()}")


def _check(jars: Path, checksums: Path) -> None:
    """Compare the jars with those that were reviewed: a repository's own checksums follow its content."""
    lines = (line.split() for line in checksums.read_text().splitlines())
    listed = {name: checksum for checksum, name in lines}
    found = {jar.name: hashlib.sha512(jar.read_bytes()).hexdigest() for jar in jars.iterdir()}
    if wrong := sorted(name for name in listed.keys() | found.keys() if listed.get(name) != found.get(name)):
        raise BrokerError(
            f"Maven brought other jars than {checksums} lists: {', '.join(wrong)}."
            " After a change of pom.xml that is meant, write the list again: `make jars-checksums`."
        )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
