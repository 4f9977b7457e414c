"""The one place that decides what environment Airflow and dbt processes get on this machine."""

import json
import os
import secrets
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from cryptography.fernet import Fernet

from include.settings import PROJECT_ROOT, Settings
from standalone.sources import recall
from standalone.sqlite_savepoints import LOCAL_SETTINGS
from standalone.workers import broker_environment

ADMIN_USER = "admin"
VENV_BIN = Path(sys.prefix) / "bin"


def airflow_environment(settings: Settings, base: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the whole environment of a child process, on top of base (default: this process's own).

    A variable that base already holds wins over a default here. Only the places and addresses that
    follow from a setting do not give way: change LOCAL_DIR, DUCKDB_PATH, AIRFLOW_PORT or KAFKA_PORT instead.
    """
    base = os.environ if base is None else base
    return {
        **_defaults(settings),
        **base,
        **_follows_from_settings(settings, base),
        "PATH": _prepend(VENV_BIN, base.get("PATH")),
        "PYTHONPATH": _prepend(PROJECT_ROOT, base.get("PYTHONPATH")),
        # Tasks talk to the api-server on this machine, which no proxy can reach.
        "NO_PROXY": ",".join(filter(None, ["localhost,127.0.0.1", base.get("NO_PROXY")])),
    }


def shell_exports(settings: Settings, base: Mapping[str, str] | None = None) -> str:
    """Return `export K=V` lines that give a shell the same environment; they hold paths, never a secret."""
    env = airflow_environment(settings, base)
    names = sorted({*_defaults(settings), *_follows_from_settings(settings, env)})
    lines = [f"export {name}={shlex.quote(env[name])}" for name in names]
    lines += [
        f'export PATH={shlex.quote(str(VENV_BIN))}:"$PATH"',
        f"export PYTHONPATH={shlex.quote(str(PROJECT_ROOT))}${{PYTHONPATH:+:$PYTHONPATH}}",
    ]
    return "\n".join(lines) + "\n"


def write_env_file(settings: Settings) -> Path:
    """Write the exports to env.sh in local_dir, for `source .local/env.sh`, and return its path."""
    path = settings.local_dir / "env.sh"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(shell_exports(settings), encoding="utf-8")
    return path


def airflow_home(settings: Settings) -> Path:
    """Return the folder of Airflow's database, configuration and task logs."""
    return settings.local_dir / "airflow"


def sample_data_dir(settings: Settings, scale: int = 1) -> Path:
    """Return the folder of the generated files at this scale (multiplier of the order lines)."""
    return settings.local_dir / "data" / f"sample-{scale}"


def ensure_secrets(settings: Settings, env: Mapping[str, str]) -> None:
    """Create this machine's keys and login once; each file is readable by its owner alone."""
    config, passwords = Path(env["AIRFLOW_CONFIG"]), _passwords_file(env)
    local_settings = airflow_home(settings) / "config" / "airflow_local_settings.py"
    local_settings.parent.mkdir(parents=True, exist_ok=True)
    local_settings.write_text(LOCAL_SETTINGS, encoding="utf-8")
    if not config.exists():
        _write_private(config, _airflow_cfg())
    if not passwords.exists():
        _write_private(passwords, json.dumps({ADMIN_USER: secrets.token_urlsafe(12)}))


def admin_password(env: Mapping[str, str]) -> str:
    """Return the UI password; raises FileNotFoundError before ensure_secrets has run."""
    return str(json.loads(_passwords_file(env).read_text(encoding="utf-8"))[ADMIN_USER])


def _follows_from_settings(settings: Settings, base: Mapping[str, str]) -> dict[str, str]:
    """Return what must match LOCAL_DIR, DUCKDB_PATH and the ports, whatever the shell says.

    An AIRFLOW_HOME of another project must never be migrated or cleared by our demo.
    """
    home, port = airflow_home(settings), settings.airflow_port
    return {
        "LOCAL_DIR": str(settings.local_dir),
        "DUCKDB_PATH": str(settings.duckdb_path),
        "AIRFLOW_PORT": str(port),
        "AIRFLOW_HOME": str(home),
        # Holds the generated keys: Airflow reads its configuration file before anything else.
        "AIRFLOW_CONFIG": str(home / "airflow.cfg"),
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": f"http://localhost:{port}",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        # Cosmos asks for it whether lineage is on or off, and each program would warn that it is missing.
        "AIRFLOW__OPENLINEAGE__NAMESPACE": base.get("OPENLINEAGE_NAMESPACE")
        or base.get("AIRFLOW__OPENLINEAGE__NAMESPACE")
        or "default",
        **broker_environment(settings, base),
    }


def _defaults(settings: Settings) -> dict[str, str]:
    home = airflow_home(settings)
    return {
        "WAREHOUSE": settings.warehouse,
        "SOURCE_LOCATION": settings.source_location or recall(settings) or str(sample_data_dir(settings)),
        "PIPELINE_SCHEDULE": settings.pipeline_schedule,
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "False",
        "AIRFLOW__COSMOS__ENABLE_TELEMETRY": "False",
        # By default a folder that all checkouts of a machine share.
        "AIRFLOW__COSMOS__CACHE_DIR": str(home / "cosmos"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT_ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT_ROOT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{ADMIN_USER}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        # Reachable from this machine only; the stack has a login but no TLS.
        "AIRFLOW__API__HOST": "127.0.0.1",
        # Resolving the own host name can take seconds where there is no DNS.
        "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
        **_speed(),
    }


def _speed() -> dict[str, str]:
    """Return what keeps many short tasks quick on a small machine (times in seconds)."""
    return {
        # A task's supervisor may miss the end of a short task until its next heartbeat and keep its
        # executor slot till then (5 by default): beat often, and have slots enough to wait in.
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        "AIRFLOW__CORE__PARALLELISM": "16",
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
        # A new or changed DAG file shows after a few seconds, yet an unchanged one is parsed rarely.
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "60",
    }


def _airflow_cfg() -> str:
    return (
        "# Keys of this machine's Airflow, generated once. Every other setting comes from env.sh.\n"
        f"[core]\nfernet_key = {Fernet.generate_key().decode()}\n"
        f"[api]\nsecret_key = {secrets.token_urlsafe(32)}\n"
        f"[api_auth]\njwt_secret = {secrets.token_urlsafe(64)}\n"
    )


def _passwords_file(env: Mapping[str, str]) -> Path:
    return Path(env["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def _prepend(folder: Path, value: str | None) -> str:
    parts = [part for part in (value or "").split(os.pathsep) if part and part != str(folder)]
    return os.pathsep.join([str(folder), *parts])
