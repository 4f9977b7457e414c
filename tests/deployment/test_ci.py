"""What runs on every change, every week and every release: the workflows, the make targets, the git hooks."""

import json
import os
import re
import shlex
import shutil
import subprocess
import threading
import tomllib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from include.settings import Settings
from standalone.kafka.jars import kafka_version
from tests.deployment.tools import ROOT, SEARCH_PATH, run

WORKFLOWS = {path.name: path for path in sorted((ROOT / ".github" / "workflows").glob("*.yml"))}
JOBS = {name: yaml.safe_load(path.read_text())["jobs"] for name, path in WORKFLOWS.items()}
MAKEFILE = (ROOT / "Makefile").read_text()
MAKE_TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
PARTS_OF_OTHERS = {"manifest", "chromium", "promtool", "axe", "kafka", "java", "style", "types"}
VENV = Path(shutil.which("ruff", path=SEARCH_PATH) or "").parents[1]


def steps(workflow: str) -> list[dict[str, Any]]:
    """Return the steps of all jobs of a workflow."""
    return [step for job in JOBS[workflow].values() for step in job["steps"]]


def make(
    *arguments: str, env: dict[str, str] | None = None, cwd: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """Run make with this virtualenv's tools, and only PATH and env set."""
    return subprocess.run(
        ["make", f"--makefile={ROOT / 'Makefile'}", f"VENV={VENV}", *arguments],
        cwd=cwd,
        env={"PATH": SEARCH_PATH, "HOME": os.environ.get("HOME", "/"), **(env or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_has_a_valid_form(name: str) -> None:
    result = run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", WORKFLOWS[name])
    assert result.returncode == 0, result.stdout


def test_workflows_and_updates_are_safe() -> None:
    """Among others: least permissions, actions pinned by digest, no untrusted text in a script."""
    result = run("zizmor", "--offline", "--no-progress", "--persona", "pedantic", ".github")
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.skipif(
    not shutil.which("go"), reason="actionlint is built with Go, which is not on this machine"
)
def test_workflows_pass_actionlint(tmp_path: Path) -> None:
    # Go needs this machine's own variables, such as a proxy's.
    result = make("actionlint", env={**os.environ, "LOCAL_DIR": str(tmp_path)})
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("name", WORKFLOWS)
def test_workflows_run_make_targets_only(name: str) -> None:
    commands = [step["run"] for step in steps(name) if "run" in step]
    targets = {command.removeprefix("make ") for command in commands}
    assert all(command.startswith("make ") for command in commands)
    assert targets - {'"$TARGET"'} <= MAKE_TARGETS


def test_every_change_is_checked() -> None:
    targets = set(JOBS["ci.yml"]["make"]["strategy"]["matrix"]["target"])
    assert targets == {"lint", "parse", "test", "demo", "secrets", "actionlint", "containers-test"}
    assert targets <= MAKE_TARGETS


def test_a_change_is_built_on_what_main_left() -> None:
    """main saves the folder that `make state` fills, and a pull request gives the newest to `make slim`."""
    by_use = {
        step["uses"].partition("@")[0]: step for step in JOBS["ci.yml"]["dbt"]["steps"] if "uses" in step
    }
    saved, restored = by_use["actions/cache/save"], by_use["actions/cache/restore"]
    assert saved["if"] == "github.event_name == 'push'"
    assert restored["if"] == "github.event_name == 'pull_request'"
    assert saved["with"]["path"] == restored["with"]["path"] == ".local/dbt-state"
    assert saved["with"]["key"].startswith(restored["with"]["restore-keys"])
    printed = make("--dry-run", "slim").stdout
    assert "changes --state " in printed
    assert printed.strip().endswith(saved["with"]["path"])


@pytest.mark.skipif(not shutil.which("jq"), reason="jq stands for what gh has built in")
def test_the_speed_of_each_commit_on_main_is_kept_and_compared(tmp_path: Path) -> None:
    job = JOBS["ci.yml"]["bench"]
    assert job["if"] == "github.event_name == 'push'"
    ran = [step["run"] for step in job["steps"] if "run" in step]
    assert ran == ["make bench", "make bench-compare"]
    kept = job["steps"][-1]["with"]
    assert (kept["name"], kept["path"]) == ("bench", ".local/bench.json")

    def artifact(number: int, branch: str = "main", repository: int = 1, expired: bool = False) -> Any:
        run = {"head_branch": branch, "head_repository_id": repository, "repository_id": 1}
        return {"id": number, "created_at": f"2026-01-0{number}", "expired": expired, "workflow_run": run}

    # A `gh` that knows these artefacts; the newest that counts is the second.
    known = [
        artifact(1),
        artifact(2),
        artifact(3, "other"),
        artifact(4, repository=2),
        artifact(5, expired=True),
    ]
    (tmp_path / "artifacts.json").write_text(json.dumps({"artifacts": known}))
    former = {"commit": "a" * 40, "date": "2026-01-02", "cores": 2}
    row = {"what": "a run", "value": 1.0, "limit": 9.0, "at_most": True, "holds": True}
    with zipfile.ZipFile(tmp_path / "2.zip", "w") as packed:
        packed.writestr("bench.json", json.dumps({**former, "rows": [row]}))
    (tmp_path / "bench.json").write_text(json.dumps({**former, "rows": [{**row, "value": 1.2}]}))
    gh = tmp_path / "bin" / "gh"
    gh.parent.mkdir()
    gh.write_text(
        f'#!/bin/sh\ncd {tmp_path}\ncase "$*" in *name={kept["name"]}*) for asked; do :; done;'
        ' exec jq -r "$asked" artifacts.json;; */artifacts/2/zip) exec cat 2.zip;; esac; exit 4\n'
    )
    gh.chmod(0o755)
    path = f"{gh.parent}{os.pathsep}{SEARCH_PATH}"
    result = make(
        f"--assume-old={VENV}/.installed", "bench-compare", env={"PATH": path, "LOCAL_DIR": str(tmp_path)}
    )
    assert result.returncode == 0, result.stderr
    warning = "::warning title=make bench::a run: 1.20, was 1.00 at aaaaaaa of 2026-01-02"
    assert result.stdout.splitlines() == [warning, f"1 warning(s), compared with {'a' * 40}"]


def test_the_site_is_an_artefact_of_every_change_and_published_from_main() -> None:
    by_use = {
        step["uses"].partition("@")[0]: step for step in JOBS["ci.yml"]["docs"]["steps"] if "uses" in step
    }
    assert [step["run"] for step in JOBS["ci.yml"]["docs"]["steps"] if "run" in step] == ["make docs"]
    assert "if" not in by_use["actions/upload-artifact"]
    published = by_use["actions/upload-pages-artifact"]
    assert published["if"] == JOBS["ci.yml"]["pages"]["if"] == "github.event_name == 'push'"
    assert published["with"]["path"] == by_use["actions/upload-artifact"]["with"]["path"] == ".local/site"
    assert ".local/site" in make("--dry-run", "docs").stdout
    assert JOBS["ci.yml"]["pages"]["needs"] == "docs"


def test_a_release_is_checked_built_for_snowflake_pushed_deployed_and_published() -> None:
    ran = [(step["run"], step.get("env", {})) for step in steps("release.yml") if "run" in step]
    commands = ["release-check", "parse", "push", "scan", "sign", "deploy", "release"]
    assert [command for command, _ in ran] == [f"make {command}" for command in commands]
    assert ran[2][1]["WAREHOUSE"] == "snowflake"
    assert (JOBS["release.yml"]["release"]["needs"], JOBS["release.yml"]["publish"]["needs"]) == (
        "check",
        "release",
    )
    triggers = yaml.safe_load(WORKFLOWS["release.yml"].read_text())[True]  # YAML 1.1 reads `on` as true
    assert triggers == {"push": {"tags": ["v*"]}}


CHANGELOG = """# Changelog

## Unreleased

- Later.

## 1.2.3

### Added

- This one.

## 1.2.30

- Another.
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A commit of version 1.2.3 and a `gh` that notes its arguments and input, to which CI is green."""
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    gh = tmp_path / "bin" / "gh"
    gh.parent.mkdir()
    gh.write_text(
        f'#!/bin/sh\ncd {tmp_path}\necho "$@" >> calls\n'
        'case "$1" in run) [ -e green ] && echo 1 || echo 0;; release) cat > notes;; esac\n'
    )
    gh.chmod(0o755)
    identity = "-c user.name=a -c user.email=a@example.org"
    commit = f"git init --quiet && git add . && git {identity} commit --quiet --message=A"
    subprocess.run(commit, shell=True, cwd=tmp_path, check=True)
    (tmp_path / "green").touch()
    return tmp_path


def release(project: Path, tag: str = "v1.2.3") -> subprocess.CompletedProcess[str]:
    path = f"{project / 'bin'}{os.pathsep}{SEARCH_PATH}"
    return make("release", f"TAG={tag}", env={"PATH": path}, cwd=project)


def test_a_release_has_the_notes_of_its_section(project: Path) -> None:
    result = release(project)
    assert result.returncode == 0, result.stderr
    assert (project / "notes").read_text().split() == ["###", "Added", "-", "This", "one."]
    head = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=project, text=True).strip()
    asked, made = (project / "calls").read_text().splitlines()
    assert f"--branch main --event push --commit {head} --status success" in asked
    assert made.startswith("release create v1.2.3 --verify-tag")


@pytest.mark.parametrize("spoiled", ["tag", "changelog", "ci", "gh"])
def test_nothing_is_released_that_is_not_ready(spoiled: str, project: Path) -> None:
    tag = "v1.2.4" if spoiled == "tag" else "v1.2.3"
    if spoiled == "changelog":
        (project / "CHANGELOG.md").write_text(CHANGELOG.replace("## 1.2.3\n", "## 1.2.2\n"))
    if spoiled == "ci":
        (project / "green").unlink()
    if spoiled == "gh":
        (project / "bin" / "gh").write_text("#!/bin/sh\nexit 4\n")
    result = release(project, tag)
    assert result.returncode == 2
    reasons = {
        "tag": "TAG is v1.2.4, pyproject.toml has the version 1.2.3",
        "changelog": "CHANGELOG.md has no section of 1.2.3",
        "ci": "CI is not green for ",
        "gh": "CI is not green for ",
    }
    assert result.stderr.startswith(reasons[spoiled])
    assert not (project / "notes").exists()


DIGEST = "sha256:" + "d" * 64
LABEL = '{{{{index .Config.Labels "warehouse"}}}}'
INSPECTED = f"docker image inspect --format {LABEL} marketing-insight-pipeline/airflow:{{tag}}"


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """A file to which programs write their arguments instead of doing anything."""
    calls = tmp_path / "calls"
    metadata = f'{{"containerimage.digest": "{DIGEST}"}}'
    for name in ("bin/docker", "bin/astro", "bin/cosign", "local/bin/grype"):
        program = tmp_path / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(
            f'#!/bin/sh\necho {program.name} "$@" >> {calls}\n'
            f'case "$*" in *login*) cat >> {calls};; *" up "*) exit ${{UP:-0}};; esac\n'
            f"case {program.name} in grype) exit ${{GRYPE:-0}};; esac\n"
            'case "$*" in "image inspect"*) echo "$BUILT_FOR";; esac\n'
            "while [ $# -gt 0 ]; do\n"
            f"  case $1 in --metadata-file) echo '{metadata}' > $2;; esac; shift\ndone\n"
        )
        program.chmod(0o755)
    return calls


def recording(calls: Path) -> dict[str, str]:
    return {
        "PATH": f"{calls.parent / 'bin'}{os.pathsep}{SEARCH_PATH}",
        "LOCAL_DIR": str(calls.parent / "local"),
    }


def test_images_are_pushed_scanned_signed_and_deployed_by_digest(recorded: Path) -> None:
    settings = {
        **recording(recorded),
        "IMAGE_TAG": "v1.2.3",
        "WAREHOUSE": "snowflake",
        "REGISTRY": "registry.example.com/team",
        "REGISTRY_USER": "somebody",
        "REGISTRY_TOKEN": "a-token",
        "DEPLOYMENT": "deployment-id",
    }
    result = make("push", "scan", "sign", "deploy", env=settings)
    assert result.returncode == 0, result.stderr
    names = [
        f"registry.example.com/team/marketing-insight-pipeline/{name}" for name in ("airflow", "workers")
    ]
    airflow, workers = names
    pushed = recorded.parent / "local/pushed"
    build = "docker buildx build --builder marketing --push --sbom=true --provenance=mode=max --metadata-file"
    assert recorded.read_text().splitlines() == [
        INSPECTED.format(tag="v1.2.3"),
        "docker login registry.example.com --username somebody --password-stdin",
        "a-token",
        "docker buildx inspect marketing",
        f"{build} {pushed}/airflow.json --build-arg WAREHOUSE=snowflake --tag {airflow}:v1.2.3 .",
        f"{build} {pushed}/workers.json --file streaming_workers/Dockerfile --tag {workers}:v1.2.3 .",
        f"docker pull {airflow}@{DIGEST}",
        f"docker tag {airflow}@{DIGEST} marketing-insight-pipeline/airflow:v1.2.3",
        *[f"grype --only-fixed --fail-on high registry:{name}@{DIGEST}" for name in names],
        *[f"cosign sign --yes {name}@{DIGEST}" for name in names],
        "astro deploy deployment-id --image-name marketing-insight-pipeline/airflow:v1.2.3",
    ]
    assert "a-token" not in result.stdout + result.stderr


def test_an_image_is_not_pushed_for_another_warehouse_than_it_was_built_for(recorded: Path) -> None:
    built = {**recording(recorded), "REGISTRY": "registry.example.com", "BUILT_FOR": "snowflake"}
    result = make("push", env={**built, "WAREHOUSE": "duckdb"})
    assert result.returncode == 2
    assert "airflow:local was built for snowflake, not for duckdb: take another IMAGE_TAG" in result.stderr
    assert recorded.read_text().splitlines() == [INSPECTED.format(tag="local")]

    assert make("push", env=built).returncode == 0
    assert " --build-arg WAREHOUSE=snowflake " in recorded.read_text()


def test_a_push_of_what_was_not_built_here_names_its_warehouse(recorded: Path) -> None:
    result = make("push", env={**recording(recorded), "REGISTRY": "registry.example.com"})
    assert result.returncode == 2
    assert result.stderr.startswith("WAREHOUSE is not set")
    assert "buildx" not in recorded.read_text()


def test_what_has_a_grave_weakness_is_not_signed(recorded: Path) -> None:
    settings = {
        **recording(recorded),
        "REGISTRY": "registry.example.com",
        "GRYPE": "1",
        "WAREHOUSE": "duckdb",
    }
    assert make("push", "scan", "sign", env=settings).returncode == 2
    calls = recorded.read_text()
    assert "grype " in calls
    assert "cosign" not in calls


@pytest.mark.parametrize(("target", "setting"), [("push", "REGISTRY"), ("deploy", "DEPLOYMENT")])
def test_a_release_without_its_setting_says_which(target: str, setting: str, recorded: Path) -> None:
    result = make(target, env=recording(recorded))
    assert result.returncode == 2
    assert result.stderr.startswith(f"{setting} is not set")
    assert not recorded.exists()


@pytest.mark.parametrize("up", [0, 1])
def test_the_containers_are_removed_whether_they_start_or_not(up: int, recorded: Path) -> None:
    result = make("containers", env={**recording(recorded), "UP": str(up)})
    assert (result.returncode == 0) is (up == 0), result.stderr
    calls = [line for line in recorded.read_text().splitlines() if " compose " in line]
    assert {line.split()[3] for line in calls} == {
        "marketing-check"
    }  # never the volumes of a user's own project
    assert " up --wait " in calls[0]
    assert calls[-1].endswith(" down --volumes")


@contextmanager
def osv(vulnerable: str) -> Iterator[str]:
    """Serve a database of vulnerabilities that knows one, as OSV does; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            found = query["package"]["name"] == vulnerable
            body = json.dumps({"vulns": [VULNERABILITY]} if found else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Keep the test's output quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
        server.shutdown()


VULNERABILITY = {
    "id": "PYSEC-0000-1",
    "details": "Made up.",
    "modified": "2026-01-01T00:00:00Z",
    "affected": [{"package": {"name": "aiokafka", "ecosystem": "PyPI"}, "ranges": []}],
}


@pytest.mark.parametrize(("vulnerable", "exit_code"), [("aiokafka", 2), ("none-of-ours", 0)])
def test_an_audit_fails_on_a_known_vulnerability(vulnerable: str, exit_code: int) -> None:
    with osv(vulnerable) as url:
        result = make("audit", env={"OSV_URL": url})
    assert result.returncode == exit_code, result.stdout + result.stderr
    assert ("PYSEC-0000-1" in result.stdout) is (exit_code == 2)


def test_an_audit_without_a_database_fails() -> None:
    assert make("audit", env={"OSV_URL": "http://127.0.0.1:9/v1/query"}).returncode == 2


def test_the_repository_holds_no_secret() -> None:
    result = make("secrets")
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("name", ["include/settings.py", "tests/test_it.py"])
def test_a_secret_in_a_file_is_found(name: str, tmp_path: Path) -> None:
    key = "AKIA" + "QYLPMN5HEXAMPLEX"[:16].replace("EXAMPLE", "7TRB2KD")
    for path, text in {name: f'KEY = "{key}"\n', "requirements.txt": "", "tests/other.py": ""}.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    subprocess.run("git init --quiet && git add .", shell=True, cwd=tmp_path, check=True)
    result = make("--old-file=requirements.txt", f"--assume-old={VENV}/.installed", "secrets", cwd=tmp_path)
    assert result.returncode == 2
    assert f"{name}:1" in result.stdout
    assert key not in result.stdout


def test_dependency_updates_are_configured_for_every_kind_of_pin() -> None:
    path = ROOT / ".github/dependabot.yml"
    result = run("check-jsonschema", "--builtin-schema", "vendor.dependabot", path)
    assert result.returncode == 0, result.stdout
    updates = yaml.safe_load(path.read_text())["updates"]
    found = {
        (one["package-ecosystem"], folder)
        for one in updates
        for folder in one.get("directories", [one.get("directory")])
    }
    assert found == {
        ("pip", "/"),
        ("pip", "/streaming_workers"),
        ("docker", "/"),
        ("docker", "/streaming_workers"),
        ("docker-compose", "/"),
        ("maven", "/standalone/kafka"),
        ("devcontainers", "/"),
        ("github-actions", "/"),
    }
    assert (ROOT / "standalone/kafka/pom.xml").read_text().count(kafka_version()) == 1


def test_help_names_what_a_user_runs() -> None:
    lines = make("help").stdout.splitlines()
    named = {line.split()[1] for line in lines}
    own = set(re.search(r"\.PHONY: ((?:.*\\\n)*.*)", MAKEFILE).group(1).replace("\\\n", " ").split())  # type: ignore[union-attr]
    assert own - named == PARTS_OF_OTHERS
    assert max(len(line) for line in lines) <= 110


def test_ci_script_calls_make_test() -> None:
    result = run("bash", "-n", ".ci/run")
    assert result.returncode == 0, result.stderr
    assert (ROOT / ".ci/run").read_text().splitlines()[-1] == "exec make test"


def test_git_hooks_run_installed_tools() -> None:
    result = run("pre-commit", "validate-config", ".pre-commit-config.yaml")
    assert result.returncode == 0, result.stdout
    repos = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repo["repo"] for repo in repos] == ["local"]
    for hook in repos[0]["hooks"]:
        program, first, *_ = [*shlex.split(hook["entry"]), ""]
        if program == "make":
            assert first in MAKE_TARGETS
        else:
            assert program.startswith(".local/venv/bin/")
            assert run(Path(program).name, "--help").returncode == 0, program


@pytest.mark.parametrize(
    "form", sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml")), ids=lambda form: form.name
)
def test_issue_forms_are_valid(form: Path) -> None:
    schema = "vendor.github-issue-config" if form.name == "config.yml" else "vendor.github-issue-forms"
    result = run("check-jsonschema", "--builtin-schema", schema, form)
    assert result.returncode == 0, result.stdout


def test_the_dev_container_brings_what_make_needs() -> None:
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    program, *targets = container["postCreateCommand"].split()
    assert program == "make"
    assert {"setup", "kafka"} == set(targets) <= MAKE_TARGETS
    python = re.search(r"devcontainers/python:\d+-(3\.\d+)-", container["image"])
    requires = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert python
    assert Version(python[1]) in SpecifierSet(requires)
    java = container["features"]["ghcr.io/devcontainers/features/java:1"]
    assert java == {"version": "17", "installMaven": "true"}
    assert container["forwardPorts"] == [Settings.model_fields["airflow_port"].default]
