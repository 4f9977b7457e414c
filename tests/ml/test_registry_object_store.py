"""The registry of segment versions in an object store, reached by an Airflow connection as in production."""

from collections.abc import Callable, Iterator

import pytest

from ml.registry import Registry, RegistryError, open_registry
from tests.object_store import Answer, Environ, ObjectStore, running_store

FINGERPRINT = "abcdef0123456789"


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    with running_store() as running:
        yield running


def train(registry: Registry, content: bytes) -> str:
    """Write a version whose one file holds `content` and return its id."""
    version = registry.new_version(FINGERPRINT)
    registry.write(
        version,
        {"segments.csv": content},
        fingerprint=FINGERPRINT,
        decision="accepted",
        findings=("fine",),
        dry_run=False,
    )
    return version


def test_versions_are_written_promoted_and_rolled_back(store: ObjectStore) -> None:
    location = store.uri("segments")
    registry, reader = open_registry(location), open_registry(location)
    assert registry.current() is None
    assert registry.versions() == []

    first, second = train(registry, b"first"), train(registry, b"second")
    registry.promote(first)
    registry.promote(second, replacing=first)

    assert [version.version for version in reader.versions()] == sorted([first, second])
    assert reader.get(first).findings == ("fine",)
    assert reader.read(second, "segments.csv") == b"second"
    current = reader.current()
    assert current is not None
    assert (current.version, current.earlier) == (second, (first,))
    with pytest.raises(RegistryError, match="train again"):
        reader.promote(first, replacing=None)

    assert registry.rollback().version == first
    current = reader.current()
    assert current is not None
    assert current.version == first


def test_a_promotion_sees_one_that_came_just_before(store: ObjectStore) -> None:
    """Between reading the pointer and moving it, another machine moves it."""
    location = store.uri("contested")
    registry = open_registry(location)
    first, theirs, ours = (train(registry, content) for content in (b"first", b"theirs", b"ours"))
    registry.promote(first)
    record = store.get("contested/promotions/000001.json").replace(first.encode(), theirs.encode())

    def theirs_comes_first(environ: Environ, answer: Callable[[], Answer]) -> Answer:
        if environ["REQUEST_METHOD"] == "PUT" and "promotions/000002" in environ["PATH_INFO"]:
            store.fault = None
            store.put("contested/promotions/000002.json", record)
        return answer()

    store.fault = theirs_comes_first
    with pytest.raises(RegistryError, match=f"compared with {first}, but {theirs} is in use now"):
        registry.promote(ours, replacing=first)
    assert store.get("contested/promotions/000002.json") == record

    store.fault = None
    assert registry.promote(ours).earlier == (theirs,)


def test_what_another_process_writes_is_seen(store: ObjectStore) -> None:
    """A store's listing is remembered by whoever asked for it; the registry must not answer from that."""
    location = store.uri("shared")
    registry = open_registry(location)
    version = train(registry, b"mine")
    assert [found.version for found in registry.versions()] == [version]
    other = version[:-8] + "ffffffff"
    for name, content in (
        ("segments.csv", b"mine"),
        ("version.json", store.get(f"shared/versions/{version}/version.json")),
    ):
        store.put(f"shared/versions/{other}/{name}", content.replace(version.encode(), other.encode()))

    assert [found.version for found in registry.versions()] == [version, other]
    assert registry.promote(other).version == other


def test_a_damaged_file_is_refused(store: ObjectStore) -> None:
    registry = open_registry(store.uri("damaged"))
    version = train(registry, b"right")
    store.put(f"damaged/versions/{version}/segments.csv", b"wrong")

    with pytest.raises(RegistryError, match=r"segments\.csv of version .* was changed after the training"):
        registry.promote(version)


def test_a_version_whose_training_did_not_end_is_none(store: ObjectStore) -> None:
    registry = open_registry(store.uri("unfinished"))
    version = registry.new_version(FINGERPRINT)
    store.put(f"unfinished/versions/{version}/segments.csv", b"half")

    assert registry.versions() == []
    with pytest.raises(RegistryError, match="its training did not end"):
        registry.promote(version)
