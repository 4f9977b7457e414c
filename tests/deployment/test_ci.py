"""What runs on every change: the workflow, the CI script, the git hooks."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from tests.deployment.tools import ROOT, run

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
MAKE_TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_workflow_has_a_valid_form(workflow: Path) -> None:
    result = run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", workflow)
    assert result.returncode == 0, result.stdout


def test_workflows_are_safe() -> None:
    """Among others: least permissions, actions pinned by digest, no untrusted text in a script."""
    result = run("zizmor", "--offline", "--no-progress", "--persona", "pedantic", ".github/workflows")
    assert result.returncode == 0, result.stdout + result.stderr


def test_ci_runs_make_targets_only() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    assert commands == ['make "$TARGET"']
    targets = set(jobs["make"]["strategy"]["matrix"]["target"])
    assert targets == {"lint", "test", "demo"}
    assert targets <= MAKE_TARGETS


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
