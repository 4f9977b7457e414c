"""The secrets of the compose file: which ones stop the start, and that those made here do not."""

import stat
from pathlib import Path

import pytest
from dotenv import dotenv_values
from typer.testing import CliRunner

from include.container_secrets import SECRETS, app, filled_in, problems
from tests.deployment.compose import config
from tests.deployment.tools import ROOT

EXAMPLE = (ROOT / ".env.example").read_text()
GOOD = {name: secret.make() for name, secret in SECRETS.items()}
CELERY = {**GOOD, "AIRFLOW_EXECUTOR": "CeleryExecutor"}
PASTED_FERNET_KEY = "81HqDtbqAywKSOumSha3BhWNOdQ26slT6K0YaZeZyPs="  # pragma: allowlist secret


def test_fresh_secrets_are_good() -> None:
    assert problems(GOOD) == []
    assert problems(CELERY, scale=True) == []


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("POSTGRES_PASSWORD", "", "is not set"),
        ("POSTGRES_PASSWORD", "change-me-change-me", "is an example, not a secret"),
        ("POSTGRES_PASSWORD", "Postgres1234567890", "is an example, not a secret"),
        ("POSTGRES_PASSWORD", "abababababababababab", "repeats a few characters: it can be guessed"),
        ("POSTGRES_PASSWORD", "k3Jx8q", "has 6 characters; at least 16 are asked for"),
        ("POSTGRES_PASSWORD", "k3Jx8q/w@v5m:2r9tzu4", "becomes part of a URL: letters, digits, - and _ only"),
        ("AIRFLOW_FERNET_KEY", PASTED_FERNET_KEY, "is an example, not a secret"),
        ("AIRFLOW_FERNET_KEY", "k3Jx8qW2" * 6, "is no Fernet key: 32 bytes in URL-safe base64"),
        ("AIRFLOW_FERNET_KEY", "k3Jx8q/W" * 6, "is no Fernet key: 32 bytes in URL-safe base64"),
        ("AIRFLOW_JWT_SECRET", "k3Jx8qW2" * 3, "has 24 characters; at least 32 are asked for"),
        ("AIRFLOW_ADMIN_PASSWORD", "admin", "is an example, not a secret"),
    ],
)
def test_a_bad_secret_is_named_and_not_shown(name: str, value: str, why: str) -> None:
    (problem,) = [one for one in problems({**GOOD, name: value}) if one.startswith(name)]
    assert problem == f"{name} {why}"
    assert not value or value not in problem


def test_two_secrets_must_differ() -> None:
    shared = {**GOOD, "AIRFLOW_API_SECRET_KEY": GOOD["POSTGRES_PASSWORD"]}
    assert problems(shared) == ["AIRFLOW_API_SECRET_KEY is the same as POSTGRES_PASSWORD"]


def test_a_fernet_key_may_be_rotated() -> None:
    keys = ",".join(SECRETS["AIRFLOW_FERNET_KEY"].make() for _ in range(2))
    assert problems({**GOOD, "AIRFLOW_FERNET_KEY": keys}) == []


def test_celery_asks_for_redis_and_the_profile_for_celery() -> None:
    without = {name: value for name, value in CELERY.items() if name != "REDIS_PASSWORD"}
    assert problems({**without, "AIRFLOW_EXECUTOR": "LocalExecutor"}) == []
    assert problems(without) == ["REDIS_PASSWORD is not set"]
    (problem,) = problems(GOOD, scale=True)
    assert problem.startswith("AIRFLOW_EXECUTOR must be CeleryExecutor")


def test_the_check_of_a_container_ends_the_start() -> None:
    assert CliRunner().invoke(app, ["check"], env=GOOD).exit_code == 0
    refused = CliRunner().invoke(app, ["check"], env={**GOOD, "AIRFLOW_JWT_SECRET": "password"})
    assert refused.exit_code == 1
    assert refused.stderr.startswith("AIRFLOW_JWT_SECRET is an example")


def test_a_written_env_file_starts_the_containers(tmp_path: Path) -> None:
    """All of .env.example with secrets that pass, for its owner's eyes only, and never over another file."""
    target = tmp_path / ".env"
    runner = CliRunner()
    assert runner.invoke(app, ["write", str(target)]).exit_code == 0
    written = target.read_text()
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert problems({name: value or "" for name, value in dotenv_values(target).items()}) == []
    assert len(written.splitlines()) == len(EXAMPLE.splitlines())
    assert config({}, target).returncode == 0

    again = runner.invoke(app, ["write", str(target)])
    assert again.exit_code == 1
    assert "its secrets may be in use" in again.stderr
    assert target.read_text() == written


def test_two_files_share_no_secret() -> None:
    one, other = (set(filled_in(EXAMPLE).splitlines()) - set(EXAMPLE.splitlines()) for _ in range(2))
    assert len(one) == len(other) == len(SECRETS)
    assert not one & other
