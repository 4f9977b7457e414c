"""The environment of Airflow and dbt: whose value wins, what matches the port, where secrets lie."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from include.settings import PROJECT_ROOT, Settings
from standalone.environment import (
    VENV_BIN,
    admin_password,
    airflow_environment,
    ensure_secrets,
    shell_exports,
)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("LOCAL_DIR", str(tmp_path))
    monkeypatch.setenv("AIRFLOW_PORT", "8123")
    monkeypatch.delenv("DUCKDB_PATH", raising=False)
    return Settings()


def test_a_users_own_variable_wins_over_a_default(settings: Settings) -> None:
    env = airflow_environment(
        settings, {"AIRFLOW__CORE__PARALLELISM": "7", "AIRFLOW__CORE__DAGS_FOLDER": "/d"}
    )

    assert env["AIRFLOW__CORE__PARALLELISM"] == "7"
    assert env["AIRFLOW__CORE__DAGS_FOLDER"] == "/d"


def test_another_projects_airflow_home_is_never_touched(settings: Settings, tmp_path: Path) -> None:
    base = {"AIRFLOW_HOME": "/home/me/airflow", "AIRFLOW_CONFIG": "/home/me/airflow/airflow.cfg"}

    env = airflow_environment(settings, base)

    assert env["AIRFLOW_HOME"] == str(tmp_path / "airflow")
    assert env["AIRFLOW_CONFIG"] == str(tmp_path / "airflow" / "airflow.cfg")


def test_every_address_follows_the_port_even_in_a_shell_that_sourced_another(settings: Settings) -> None:
    env = airflow_environment(settings, {"AIRFLOW__API__PORT": "8080"})

    assert env["AIRFLOW__API__PORT"] == "8123"
    assert env["AIRFLOW__API__BASE_URL"] == "http://localhost:8123"
    assert env["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:8123/execution/"


def test_programs_of_this_project_come_first(settings: Settings) -> None:
    env = airflow_environment(settings, {"PATH": "/usr/bin", "PYTHONPATH": "/mine"})

    assert env["PATH"].split(os.pathsep) == [str(VENV_BIN), "/usr/bin"]
    assert env["PYTHONPATH"].split(os.pathsep) == [str(PROJECT_ROOT), "/mine"]


def test_a_proxy_is_not_asked_for_this_machine(settings: Settings) -> None:
    env = airflow_environment(settings, {"NO_PROXY": "corp.example"})

    assert env["NO_PROXY"] == "localhost,127.0.0.1,corp.example"


def test_nothing_phones_home(settings: Settings) -> None:
    env = airflow_environment(settings, {})

    assert env["AIRFLOW__COSMOS__ENABLE_TELEMETRY"] == "False"
    assert env["DBT_SEND_ANONYMOUS_USAGE_STATS"] == "False"


def test_keys_and_password_are_made_once_and_private(settings: Settings) -> None:
    env = airflow_environment(settings, {})
    ensure_secrets(settings, env)
    password = admin_password(env)
    ensure_secrets(settings, env)

    assert admin_password(env) == password
    assert len(password) >= 12
    for name in ("AIRFLOW_CONFIG", "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"):
        assert stat.S_IMODE(Path(env[name]).stat().st_mode) == 0o600


def test_exports_hold_no_secret_and_work_in_a_shell(settings: Settings, tmp_path: Path) -> None:
    env = airflow_environment(settings, {})
    ensure_secrets(settings, env)
    base = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql://me:hunter2@db/airflow", "PATH": "/bin"}
    exports = shell_exports(settings, base)
    keys = [
        line.split(" = ")[1] for line in Path(env["AIRFLOW_CONFIG"]).read_text().splitlines() if " = " in line
    ]

    file = tmp_path / "env.sh"
    file.write_text(exports)
    shown = subprocess.run(
        ["bash", "-euc", f'. "{file}"; echo "$AIRFLOW_HOME|$PATH|$PYTHONPATH"'],
        env={"PATH": "/bin"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()

    assert shown == f"{tmp_path / 'airflow'}|{VENV_BIN}:/bin|{PROJECT_ROOT}"
    assert len(keys) == 3
    for secret in (*keys, admin_password(env), "hunter2"):
        assert secret not in exports


def test_the_state_on_this_machine_is_its_owners_alone(settings: Settings) -> None:
    """Any command sees to it, also where the folder was made by something else."""
    settings.local_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
    settings.local_dir.chmod(0o755)
    subprocess.run(
        [sys.executable, "-m", "standalone", "down"],
        cwd=PROJECT_ROOT,
        env={**os.environ, "LOCAL_DIR": str(settings.local_dir)},
        check=True,
        capture_output=True,
    )
    assert stat.S_IMODE(settings.local_dir.stat().st_mode) == 0o700
