"""A reader sees whole versions only, whatever a training, a promotion or a crash does meanwhile."""

import contextlib
import json
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result
from upath import UPath

from ml.registry import Current, Decision, Registry, RegistryError, app, open_registry

FINGERPRINT = "0123abcd" * 8


def add(registry: Registry, decision: Decision = "accepted", content: bytes = b"{}") -> str:
    version = registry.new_version(FINGERPRINT)
    findings = ("silhouette is 0.1, must be at least 0.2.",) if decision != "accepted" else ()
    registry.write(
        version,
        {"model.json": content, "plots/selection.csv": b"k\n2\n"},
        fingerprint=FINGERPRINT,
        decision=decision,
        findings=findings,
        failed=("silhouette_gain",) if findings else (),
        dry_run=False,
    )
    return version


def in_use(registry: Registry) -> str:
    current = registry.current()
    assert current is not None
    return current.version


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "registry")


@pytest.mark.parametrize("kind", ["folder", "UPath", "memory", "ObjectStoragePath"])
def test_versions_are_promoted_and_rolled_back_on_every_kind_of_path(tmp_path: Path, kind: str) -> None:
    if kind == "folder":
        registry = Registry(tmp_path)
    elif kind == "UPath":
        registry = Registry(UPath(tmp_path.as_uri()))  # type: ignore[arg-type]
    elif kind == "memory":
        registry = Registry(UPath(f"memory://{tmp_path.name}/registry"))  # type: ignore[arg-type]
    else:
        registry = open_registry(tmp_path.as_uri())
    assert registry.current() is None
    assert registry.versions() == []

    first, second, third = add(registry), add(registry), add(registry)
    for version in (first, second, third):
        registry.promote(version)

    assert [one.version for one in registry.versions()] == [first, second, third]
    assert in_use(registry) == third
    assert registry.rollback().version == second
    assert registry.rollback().version == first
    with pytest.raises(RegistryError, match="no version to go back to"):
        registry.rollback()
    assert in_use(registry) == first


def test_promoting_twice_changes_nothing(registry: Registry) -> None:
    first, second = add(registry), add(registry)
    registry.promote(first)

    promoted = registry.promote(second)

    assert registry.promote(second) == promoted
    assert promoted.earlier == (first,)


def test_a_training_that_did_not_end_is_no_version(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    version = add(registry)
    (tmp_path / "versions" / version / "version.json").unlink()  # as a crash before the last step leaves it

    assert registry.versions() == []
    with pytest.raises(RegistryError, match="its training did not end"):
        registry.promote(version)


def test_a_crash_while_the_pointer_is_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry(tmp_path)
    first, second = add(registry), add(registry)
    registry.promote(first)

    def crash(self: Path, target: Path) -> Path:
        raise OSError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", crash)
        with pytest.raises(OSError, match="power cut"):
            registry.promote(second)

    assert in_use(registry) == first
    registry.promote(second)
    assert in_use(registry) == second


def test_readers_see_one_whole_pointer_while_it_moves(registry: Registry) -> None:
    versions = [add(registry) for _ in range(4)]
    registry.promote(versions[0])

    def move(version: str) -> None:
        for _ in range(25):
            registry.promote(version)

    with ThreadPoolExecutor() as pool:
        moving = [pool.submit(move, version) for version in versions]
        while not all(one.done() for one in moving):
            assert in_use(registry) in versions
        for one in moving:
            one.result()


def test_two_trainings_at_once_get_versions_of_their_own(registry: Registry) -> None:
    with ThreadPoolExecutor(8) as pool:
        versions = list(pool.map(lambda number: (number, add(registry, content=b"%d" % number)), range(40)))

    assert len({version for _, version in versions}) == 40
    for number, version in versions:
        assert registry.read(version, "model.json") == b"%d" % number


def test_a_training_does_not_replace_a_version_it_was_not_compared_with(registry: Registry) -> None:
    first, second, third = add(registry), add(registry), add(registry)
    registry.promote(first, replacing=None)
    registry.promote(second, replacing=first)

    with pytest.raises(
        RegistryError, match=f"compared with {first}, but {second} is in use now: train again"
    ):
        registry.promote(third, replacing=first)
    with pytest.raises(RegistryError, match="compared with no version"):
        registry.promote(third, replacing=None)

    assert in_use(registry) == second


def test_a_rejected_version_is_kept_and_promoted_by_overriding_its_check_only(registry: Registry) -> None:
    version = add(registry, "rejected")

    with pytest.raises(RegistryError, match=r"was rejected: silhouette is 0\.1, must be at least 0\.2\."):
        registry.promote(version)
    assert registry.current() is None

    with pytest.raises(RegistryError, match="was rejected"):
        registry.promote(version, override=["seed_agreement"])
    current: Current = registry.promote(version, override=["silhouette_gain"], by="ada")

    assert current.forced
    assert (current.override, current.by) == (("silhouette_gain",), "ada")
    assert registry.current() == current
    assert registry.get(version).decision == "rejected"


def test_a_version_that_was_changed_is_not_promoted(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    version = add(registry)
    (tmp_path / "versions" / version / "model.json").write_text("{} ")

    with pytest.raises(RegistryError, match=r"model\.json .* was changed after the training"):
        registry.promote(version)


def test_a_rollback_to_a_version_that_was_changed_is_refused(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    first, second = add(registry), add(registry)
    registry.promote(first)
    registry.promote(second)
    (tmp_path / "versions" / first / "model.json").write_text("{} ")

    with pytest.raises(RegistryError, match="was changed after the training"):
        registry.rollback()
    assert in_use(registry) == second


@pytest.mark.parametrize("manifest", ["", "[]", "{}", '{"version": 1}'])
def test_one_odd_manifest_does_not_hide_the_others(tmp_path: Path, manifest: str) -> None:
    registry = Registry(tmp_path)
    odd, good = add(registry), add(registry)
    (tmp_path / "versions" / odd / "version.json").write_text(manifest)

    assert [one.version for one in registry.versions()] == [good]
    [sentence] = registry.damaged()
    assert odd in sentence


def test_a_version_is_written_once(registry: Registry) -> None:
    version = add(registry)

    with pytest.raises(RegistryError, match="is written once"):
        registry.write(version, {}, fingerprint=FINGERPRINT, decision="accepted", findings=(), dry_run=False)


@pytest.mark.parametrize("version", ["../../etc", "", "20260101T000000000000Z-0000000g"])
def test_what_is_no_version_id_is_refused(registry: Registry, version: str) -> None:
    with pytest.raises(RegistryError, match="is no version id"):
        registry.promote(version)


def test_a_damaged_pointer_is_named(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    registry.promote(add(registry))
    (tmp_path / "promotions" / "000001.json").write_text('{"version"')

    with pytest.raises(RegistryError, match=r"000001\.json is damaged"):
        Registry(tmp_path).current()
    for command in ("list", "rollback"):
        result = CliRunner().invoke(app, [command, "--registry", str(tmp_path)])
        assert result.exit_code == 1
        assert "000001.json is damaged" in result.output


def test_a_registry_of_an_earlier_release_goes_on(tmp_path: Path) -> None:
    """Its pointer was one file, which each promotion replaced."""
    registry = Registry(tmp_path)
    first, second = add(registry), add(registry)
    promoted_at = "2026-11-01T00:00:00+00:00"
    (tmp_path / "current.json").write_text(
        json.dumps({"version": first, "promoted_at": promoted_at, "forced": False, "earlier": []})
    )

    assert registry.current() == Current(first, promoted_at, forced=False)
    assert registry.promote(second, replacing=first).earlier == (first,)
    assert registry.rollback().version == first


def test_of_promotions_at_the_same_time_each_is_recorded_once(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    versions = [add(registry) for _ in range(8)]
    with ThreadPoolExecutor(len(versions)) as pool:
        list(pool.map(lambda one: Registry(tmp_path).promote(one), versions))

    current = registry.current()
    assert current is not None
    assert sorted([current.version, *current.earlier]) == versions
    assert len(list((tmp_path / "promotions").iterdir())) == len(versions)


def test_of_trainings_that_were_compared_with_the_same_version_one_is_promoted(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    registry.promote(base := add(registry))

    def promoted(version: str) -> bool:
        with contextlib.suppress(RegistryError):
            Registry(tmp_path).promote(version, replacing=base)
            return True
        return False

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(promoted, [add(registry) for _ in range(8)])) == 1


def test_a_rollback_passes_over_what_has_expired(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    first, second, third = (add(registry) for _ in range(3))
    for version in (first, second, third):
        registry.promote(version)
    shutil.rmtree(tmp_path / "versions" / second)

    assert registry.rollback().version == first


def test_the_commands_list_promote_and_roll_back(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    first, second = add(registry), add(registry, "rejected")

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, [*arguments, "--registry", str(tmp_path)], env={"COLUMNS": "80"})

    assert run("promote", first).stdout == f"Current version: {first}\n"
    refused = run("promote", second)
    assert (refused.exit_code, "was rejected" in refused.stdout) == (1, True)
    assert run("promote", second, "--override", "silhouette_gain").exit_code == 0
    assert re.search(rf"current +{second} +rejected", run("list").stdout)
    assert run("rollback").stdout == f"Current version: {first}\n"
    assert json.loads((tmp_path / "promotions" / "000003.json").read_text())["version"] == first
