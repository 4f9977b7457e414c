"""The image and the compose file: what a container engine would refuse, and what it would not notice."""

import contextlib
import http.server
import json
import os
import re
import shlex
import stat
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cosmos.settings
import pytest
import yaml
from airflow.cli.cli_parser import get_parser
from airflow.configuration import conf
from airflow.providers.celery.get_provider_info import get_provider_info as celery_info
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from pydantic_settings import BaseSettings

from include.container_secrets import EXECUTOR, OF_SCALE, SECRETS, WAREHOUSE, filled_in
from include.settings import Settings
from ml.drift import RefitSettings
from ml.gate import GateSettings
from standalone import manifest, stack
from standalone.environment import ADMIN_USER
from standalone.kafka.jars import kafka_version
from standalone.workers import BROKER, streaming_commands
from streaming_workers.settings import ConsumerSettings, KafkaSettings, MonitoringSettings, ProducerSettings
from tests.deployment.compose import FILLED_IN, config, services_of
from tests.deployment.compose import TEXT as COMPOSE_TEXT
from tests.deployment.tools import ROOT, SEARCH_PATH, run

DOCKERFILE = (ROOT / "Dockerfile").read_text()
EXAMPLE = (ROOT / ".env.example").read_text()
WORKERS_DOCKERFILE = (ROOT / "streaming_workers/Dockerfile").read_text()
PRELOADING = [
    "python",
    "-m",
    "include.orchestration.scheduler",
]
ALWAYS = {
    "secrets-check",
    "postgres",
    "airflow-init",
    "api-server",
    "scheduler",
    "dag-processor",
    "triggerer",
    "kafka",
    "kafka-init",
    "consumer",
}
SIMULATOR = {"simulator-check", "simulator", "producer"}
SCALE = {"scale-check", "redis", "airflow-worker"}
BACKUPS = {"backup", "backup-database"}
MONITORING = {"prometheus", "grafana"}
# What compose itself reads.
OF_COMPOSE = {"COMPOSE_PROFILES"}
# These place the local stack's processes on one machine; a container's ports are its own.
OF_THE_LOCAL_STACK = {"AIRFLOW_PORT", "KAFKA_PORT", "SIMULATOR_PORT", "FEEDS", "SEGMENTS_SEED_FILE"}


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """Every service of the file, whatever its profile."""
    return services_of("simulator,live,scale,backups,users,monitoring")


@pytest.mark.parametrize(
    ("profiles", "others"),
    [
        ("", set()),
        ("simulator", SIMULATOR),
        ("live", {"producer-live"}),
        ("simulator,scale", {*SIMULATOR, *SCALE}),
        ("live,scale", {"producer-live", *SCALE}),
        ("backups", BACKUPS),
        ("users", {"users-init"}),
        ("monitoring", MONITORING),
    ],
)
def test_a_profile_adds_its_services(profiles: str, others: set[str]) -> None:
    assert set(services_of(profiles)) == ALWAYS | others


def test_nothing_starts_before_what_it_needs(services: dict[str, Any]) -> None:
    """The secrets come first, and each service waits for those whose address it is given."""
    waits = {name: all_dependencies(services, name) for name in services}
    checks = {"secrets-check", "scale-check", "simulator-check"}
    assert {name for name, found in waits.items() if not found & checks} == checks
    addresses = {"postgres:5432", "redis:6379", "kafka:9092", "simulator:8094", "api-server:8080"}
    for name in ("producer", "producer-live", "consumer", "airflow-worker"):
        given = " ".join(str(value) for value in services[name]["environment"].values())
        hosts = {address.partition(":")[0] for address in addresses if address in given}
        # A task asks Kafka for the lag; Airflow runs without it, and a cluster elsewhere is no service.
        assert hosts - {"kafka"} <= waits[name], name
    for name in ("producer", "producer-live", "consumer"):
        assert "kafka" in waits[name]
    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():
            runs_once = services[needed]["restart"] == "no"
            wanted = "service_completed_successfully" if runs_once else "service_healthy"
            assert how["condition"] == wanted, (name, needed)


def all_dependencies(services: dict[str, Any], name: str) -> set[str]:
    """Return what a service waits for, directly or not."""
    direct = set(services[name].get("depends_on", {}))
    return direct.union(*(all_dependencies(services, one) for one in direct))


@pytest.mark.parametrize("is_set", [False, True], ids=["unset", "empty"])
@pytest.mark.parametrize("missing", sorted(SECRETS.keys() - OF_SCALE))
def test_compose_refuses_to_start_without_a_secret(missing: str, *, is_set: bool) -> None:
    env = {**FILLED_IN, missing: ""}
    if not is_set:
        del env[missing]
    result = config(env)
    assert result.returncode != 0
    assert f"required variable {missing} is missing a value" in result.stderr


def test_the_secrets_are_judged_before_the_start(services: dict[str, Any]) -> None:
    checks = {"secrets-check": [], "scale-check": ["--scale"], "simulator-check": ["--simulator"]}
    for name, options in checks.items():
        service = services[name]
        assert service["command"] == ["python", "-m", "include.container_secrets", "check", *options]
        assert set(service["environment"]) == {*SECRETS, EXECUTOR, WAREHOUSE}
        assert service["network_mode"] == "none"


def test_several_people_have_an_auth_manager_that_the_lock_can_hold(services: dict[str, Any]) -> None:
    """The simple one is the default; the other's provider is an extra, its first user comes from .env."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert [Requirement(one).name for one in extras["users"]] == ["apache-airflow-providers-fab"]
    pin = run("make", "--dry-run", "lock", "EXTRAS=s3 users").stdout
    assert "pyproject.toml --extra s3 --extra users -o requirements.txt" in pin
    name = "AIRFLOW__CORE__AUTH_MANAGER"
    assert services["api-server"]["environment"][name].endswith(".SimpleAuthManager")
    found = services_of_several()
    for service in ("airflow-init", "users-init", "api-server", "scheduler"):
        assert found[service]["environment"][name].endswith(
            ".fab.auth_manager.fab_auth_manager.FabAuthManager"
        )


@pytest.mark.parametrize("has_manager", [True, False])
def test_the_first_administrator_is_made_without_showing_the_password(
    services: dict[str, Any], tmp_path: Path, *, has_manager: bool
) -> None:
    """The script of `users-init` before an `airflow` that notes what it is given."""
    (tmp_path / "password").write_text("it costs $100")
    airflow = tmp_path / "airflow"
    airflow.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments; cat > {tmp_path}/input\n')
    airflow.chmod(0o755)
    service = services_of_several() if has_manager else services
    shell, options, script = service["users-init"]["command"]
    env = {
        "PATH": f"{tmp_path}:{SEARCH_PATH}",
        "ADMIN_PASSWORD_FILE": str(tmp_path / "password"),
        "AIRFLOW__CORE__AUTH_MANAGER": service["users-init"]["environment"]["AIRFLOW__CORE__AUTH_MANAGER"],
    }
    done = run(shell, options, script.replace("$$", "$"), env=env)
    if not has_manager:
        assert done.returncode == 1
        assert "the profile users needs AIRFLOW_AUTH_MANAGER" in done.stderr
        return
    assert done.returncode == 0, done.stderr
    assert "users create --username admin --role Admin" in (tmp_path / "arguments").read_text()
    assert "100" not in (tmp_path / "arguments").read_text()
    assert (tmp_path / "input").read_text() == "it costs $100\n" * 2


def services_of_several() -> dict[str, Any]:
    (manager,) = re.findall(r"^#AIRFLOW_AUTH_MANAGER=(\S+)$", EXAMPLE, re.MULTILINE)
    given = {**FILLED_IN, "COMPOSE_PROFILES": "users", "AIRFLOW_AUTH_MANAGER": manager}
    found: dict[str, Any] = json.loads(config(given).stdout)["services"]
    return found


def test_made_up_feeds_do_not_reach_snowflake(services: dict[str, Any]) -> None:
    """The producer of the profile waits for a check that refuses, whoever named the profile how."""
    assert "simulator-check" in all_dependencies(services, "producer")
    assert "simulator-check" not in all_dependencies(services, "producer-live")
    env = {**FILLED_IN, "COMPOSE_PROFILES": "simulator", "WAREHOUSE": "snowflake"}
    service = json.loads(config(env).stdout)["services"]["simulator-check"]
    secrets = dict(line.split("=", 1) for line in filled_in(EXAMPLE).splitlines() if line[:1].isupper())
    python, *words = service["command"]
    assert python == "python"
    for warehouse, exit_code in (("snowflake", 1), ("duckdb", 0)):
        given = {**secrets, "WAREHOUSE": warehouse}
        done = run(sys.executable, *words, env=given)
        assert done.returncode == exit_code, done.stderr
        assert ("would write made-up prices and news to Snowflake" in done.stderr) is bool(exit_code)
    assert service["environment"]["WAREHOUSE"] == "snowflake"


def test_env_example_names_every_variable_and_fills_in_no_secret() -> None:
    example = EXAMPLE
    values = dict(re.findall(r"^#?([A-Z_]+)=(.*)$", example, re.MULTILINE))
    interpolated = set(re.findall(r"environment: ([A-Z_]+)\}", COMPOSE_TEXT))
    interpolated |= set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", COMPOSE_TEXT))
    passed_on = set(re.findall(r"^ +([A-Z_]+):$", COMPOSE_TEXT, re.MULTILINE))
    assert set(values) == interpolated | passed_on | OF_COMPOSE
    assert set(re.findall(r"^([A-Z_]+)=$", example, re.MULTILINE)) == SECRETS.keys()
    assert set(re.findall(r"\$\{([A-Z_]+):\?", COMPOSE_TEXT)) == SECRETS.keys() - OF_SCALE


def test_compose_passes_every_setting_of_the_product(services: dict[str, Any]) -> None:
    in_image = set(re.findall(r"([A-Z_]+)=\S+", DOCKERFILE))
    settings = {"ML_REGISTRY", *(name.upper() for name in Settings.model_fields)} - OF_THE_LOCAL_STACK
    assert settings <= in_image | set(services["scheduler"]["environment"])


@pytest.mark.parametrize(
    ("service", "settings"),
    [
        ("producer-live", ProducerSettings),
        ("producer-live", KafkaSettings),
        ("producer", KafkaSettings),
        ("consumer", ConsumerSettings),
        ("consumer", KafkaSettings),
        ("consumer", MonitoringSettings),
        ("scheduler", KafkaSettings),  # its tasks look at the lag
        ("scheduler", GateSettings),
        ("scheduler", RefitSettings),
    ],
)
def test_compose_passes_every_setting_of_the_workers(
    service: str, settings: type[BaseSettings], services: dict[str, Any]
) -> None:
    in_image = set(re.findall(r"([A-Z_]+)=\S+", WORKERS_DOCKERFILE))
    prefix = settings.model_config.get("env_prefix", "")
    names = {f"{prefix}{name}".upper() for name in settings.model_fields}
    ports = {name for name in names if name.endswith("METRICS_PORT")}  # fixed: the health check asks it
    assert names - ports <= in_image | set(services[service]["environment"])


def test_every_service_is_pinned_limited_and_watched(services: dict[str, Any]) -> None:
    for name, service in services.items():
        tag = service["image"].partition(":")[2].partition("@")[0]
        assert re.fullmatch(r"local|v?\d+\.\d+(\.\d+)?(-\w+)?", tag), name
        limits = service["deploy"]["resources"]["limits"]
        assert limits["memory"], name
        assert limits["pids"], name
        assert service["logging"]["options"].keys() == {"max-size", "max-file"}, name
        if service["restart"] == "no":
            waiting = [s for s in services.values() if name in s.get("depends_on", {})]
            conditions = {s["depends_on"][name]["condition"] for s in waiting}
            assert conditions == {"service_completed_successfully"}, name
        else:
            assert service["restart"] == "unless-stopped", name
            assert service["healthcheck"]["test"], name


def test_no_service_has_more_rights_than_it_needs(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["user"] not in {"", "0", "root"}, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service.get("privileged"), name
        assert not service.get("cap_add"), name
        if service["image"] == "marketing-insight-pipeline/workers:local":
            assert service["read_only"], name


def test_only_what_has_pages_is_reachable_and_only_from_this_machine(services: dict[str, Any]) -> None:
    ports = {(name, port["host_ip"]) for name, s in services.items() for port in s.get("ports", [])}
    assert ports == {("api-server", "127.0.0.1"), ("grafana", "127.0.0.1")}


def test_a_service_is_in_the_networks_of_what_it_talks_to_and_no_others(services: dict[str, Any]) -> None:
    """A producer that is taken over reaches no database; a database reaches nothing beyond its network."""
    networks = {name: set(service.get("networks", {})) for name, service in services.items()}
    components = {"api-server", "scheduler", "dag-processor", "triggerer", "airflow-worker"}
    members = {
        "airflow": {*components, "prometheus"},
        "database": {"postgres", "airflow-init", "users-init", "backup-database", *components},
        "queue": {"redis", "scheduler", "airflow-worker"},
        "broker": {"kafka", "producer", "producer-live", "consumer", "scheduler", "airflow-worker"},
        "feeds": {"simulator", "producer", "producer-live"},
        "metrics": {"prometheus", "grafana", "producer", "producer-live", "consumer"},
        "warehouse": {"consumer"},
    }
    assert {name: {s for s, its in networks.items() if name in its} for name in members} == members
    assert {name for its in networks.values() for name in its} == members.keys()
    file = yaml.safe_load(COMPOSE_TEXT)["networks"]
    assert {name for name, options in file.items() if options} == {"database", "queue", "broker"}
    assert all(file[name] == {"internal": True} for name in ("database", "queue", "broker"))


def test_each_client_of_the_broker_has_a_login_of_its_own(services: dict[str, Any]) -> None:
    """And sees no other's; `kafka-init`, which makes them, has no network but the broker's own loopback."""
    users = {
        "producer": "producer",
        "producer-live": "producer",
        "consumer": "consumer",
        **dict.fromkeys(("scheduler", "api-server", "airflow-worker"), "airflow"),
    }
    passwords = {
        FILLED_IN[f"KAFKA_{user}_PASSWORD"] for user in ("PRODUCER", "CONSUMER", "AIRFLOW", "OPERATOR")
    }
    for name, user in users.items():
        env = services[name]["environment"]
        assert env["KAFKA_SECURITY_PROTOCOL"] == "SASL_PLAINTEXT"
        assert env["KAFKA_SASL_USERNAME"] == user
        assert passwords & set(env.values()) == {FILLED_IN[f"KAFKA_{user.upper()}_PASSWORD"]}, name
    assert services["kafka-init"]["network_mode"] == "service:kafka"
    assert secrets_of(services)["kafka-init"] == {
        f"kafka_{user}_password" for user in {*users.values(), "operator"}
    }
    assert not passwords & set(services["kafka"]["environment"].values())


def test_the_broker_listens_without_a_login_on_its_own_loopback_only(services: dict[str, Any]) -> None:
    env = services["kafka"]["environment"]
    listeners = dict(one.split("://") for one in env["KAFKA_LISTENERS"].split(","))
    protocols = dict(one.split(":") for one in env["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(","))
    assert listeners.keys() == protocols.keys()
    open_to_all = {name for name, address in listeners.items() if not address.startswith("localhost:")}
    assert {protocols[name] for name in open_to_all} == {"SASL_PLAINTEXT"}


def test_a_cluster_elsewhere_has_one_login_for_all() -> None:
    own = {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_USERNAME": "me", "KAFKA_SASL_PASSWORD": "it"}
    result = config({**FILLED_IN, **own, "COMPOSE_PROFILES": "live,scale"})
    services = json.loads(result.stdout)["services"]
    for name in ("producer-live", "consumer", "scheduler", "airflow-worker"):
        env = services[name]["environment"]
        assert {key: env[key] for key in own} == own, name


def test_no_anonymous_volume_and_no_folder_of_roots_is_made(services: dict[str, Any]) -> None:
    """`down` leaves an image's own volumes behind, so each of Kafka's is named or in memory."""
    for name in ("kafka", "kafka-init"):
        places = {*services[name]["tmpfs"], *(v["target"] for v in services[name].get("volumes", []))}
        assert {"/etc/kafka/secrets", "/mnt/shared/config", "/var/lib/kafka/data"} <= places
    (data,) = (v for v in services["scheduler"]["volumes"] if v["target"] == "/data")
    assert data["bind"]["create_host_path"] is False
    assert data["read_only"]


def test_only_the_services_that_check_a_login_see_its_password(services: dict[str, Any]) -> None:
    with_env = {name for name, s in services.items() if "AIRFLOW_ADMIN_PASSWORD" in s.get("environment", {})}
    with_secret = {name for name, its in secrets_of(services).items() if "airflow_admin_password" in its}
    with_file = {
        name for name, s in services.items() if "airflow-auth" in [v["source"] for v in s.get("volumes", [])]
    }
    assert with_env == {"secrets-check", "scale-check", "simulator-check"}  # which have no network
    assert with_secret == {"airflow-init", "users-init"}
    assert with_file == {"airflow-init", "api-server"}


def secrets_of(services: dict[str, Any]) -> dict[str, set[str]]:
    """Return the names of the files in /run/secrets of each service."""
    return {name: {one["source"] for one in s.get("secrets", [])} for name, s in services.items()}


def test_a_secret_of_airflow_is_a_file_where_it_is_needed_and_nowhere_else(services: dict[str, Any]) -> None:
    """No variable holds one, so no log, child process or `docker inspect` of a component shows it."""
    database = {"airflow-init", "users-init", "api-server", "scheduler", "dag-processor", "triggerer"}
    needed = {
        "postgres_password": {"postgres", "airflow-worker", "backup-database", *database},
        "airflow_fernet_key": database,
        "airflow_jwt_secret": {"api-server", "scheduler"},
        "airflow_api_secret_key": {"api-server"},
    }
    found = secrets_of(services)
    assert {name: {s for s, its in found.items() if name in its} for name in needed} == needed
    hidden = {FILLED_IN[name.upper()] for name in (*needed, "airflow_admin_password")}
    for name, service in services.items():
        if not name.endswith("-check"):  # these have no network
            text = json.dumps([service.get("environment"), service["command"]])
            assert not [value for value in hidden if value in text], name


@pytest.mark.parametrize(
    ("option", "wanted"),
    [
        ("AIRFLOW__API__SECRET_KEY", "a-value"),
        ("AIRFLOW__API_AUTH__JWT_SECRET", "a-value"),
        ("AIRFLOW__CORE__FERNET_KEY", "a-value"),
        (
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
            "postgresql+psycopg2://airflow:a-value@postgres:5432/airflow",
        ),
    ],
)
def test_airflow_reads_its_secrets_from_the_files(
    option: str, wanted: str, services: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = services["api-server"]["environment"][f"{option}_CMD"].replace("$$", "$")
    for name in secrets_of(services)["api-server"]:
        (tmp_path / name).write_text("a-value")
    monkeypatch.delenv(option, raising=False)
    monkeypatch.setenv(f"{option}_CMD", command.replace("/run/secrets/", f"{tmp_path}/"))
    section, key = option.removeprefix("AIRFLOW__").lower().split("__")
    assert conf.get(section, key) == wanted


@pytest.mark.parametrize(
    ("service", "dockerfile"),
    [("scheduler", DOCKERFILE), ("airflow-worker", DOCKERFILE), ("consumer", WORKERS_DOCKERFILE)],
)
def test_every_process_that_writes_sees_the_same_warehouse(
    service: str, dockerfile: str, services: dict[str, Any]
) -> None:
    mounts = {v["target"]: v["source"] for v in services[service]["volumes"]}
    assert re.findall(r"DUCKDB_PATH=(\S+)", dockerfile) == [
        "/var/lib/marketing/warehouse/marketing_insights.duckdb"
    ]
    assert mounts["/var/lib/marketing"] == "warehouse"


def test_both_images_run_as_the_same_user() -> None:
    """The one file of the warehouse must be writable for both; 50000 is the Astro image's user."""
    assert "useradd --uid 50000 --gid 0 " in WORKERS_DOCKERFILE
    assert re.findall(r"^USER (\S+)", WORKERS_DOCKERFILE, re.MULTILINE) == ["worker"]


def test_services_run_what_the_local_stack_runs(services: dict[str, Any]) -> None:
    commands = (*stack.CORE, *stack.REST, *streaming_commands(Settings(simulator_port=8094), {}))
    local = {one.name: [Path(one.argv[0]).name, *one.argv[1:]] for one in commands if one.name != BROKER}
    in_containers = {name: services[name]["command"] for name in local}
    assert in_containers.pop("simulator") == [*local.pop("simulator"), "--host", "0.0.0.0"]
    assert in_containers == local
    script = services["airflow-init"]["command"][-1]
    assert "airflow db migrate\n" in script
    pool = f"{stack.POOL} {stack.POOL_SLOTS} "
    where_missing = rf"if ! airflow pools get {stack.POOL}; then\n\s*airflow pools set {pool}.*\n\s*fi\n"
    assert re.search(where_missing, script), "it would reset the size that a user has set"


def test_the_scale_profile_runs_the_same_tasks_on_two_workers(services: dict[str, Any]) -> None:
    """The same image, volumes and variables as the scheduler's; only the choice of executor is the user's."""
    worker, scheduler = services["airflow-worker"], services["scheduler"]
    assert worker["deploy"]["replicas"] == 2
    for key in ("image", "volumes"):
        assert worker[key] == scheduler[key], key
    own_name = {"OTEL_SERVICE_NAME": "airflow-worker"}
    assert worker["environment"] == {**scheduler["environment"], **own_name}
    env = {**FILLED_IN, "AIRFLOW_EXECUTOR": "CeleryExecutor", "COMPOSE_PROFILES": "scale"}
    celery = json.loads(config(env).stdout)["services"]["airflow-worker"]["environment"]
    assert scheduler["environment"]["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert celery["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"
    password = re.escape(FILLED_IN["REDIS_PASSWORD"])
    assert re.fullmatch(rf"redis://:{password}@redis:6379/0", celery["AIRFLOW__CELERY__BROKER_URL"])
    assert services["redis"]["command"][-2:] == ["--requirepass", FILLED_IN["REDIS_PASSWORD"]]


def airflow_commands(services: dict[str, Any]) -> list[list[str]]:
    """Return the arguments of each Airflow command that a service starts with, is checked by or scripts."""
    commands = []
    for service in services.values():
        command = service["command"] or [""]
        commands += [command, service.get("healthcheck", {}).get("test", [])[1:]]
        commands += [shlex.split(line) for line in command[-1].splitlines() if line.startswith("airflow ")]
    commands = [["airflow", "scheduler", *argv[3:]] if argv[:3] == PRELOADING else argv for argv in commands]
    return [argv[1:] for argv in commands if argv[:1] == ["airflow"]]


def test_airflow_understands_every_command(services: dict[str, Any]) -> None:
    commands = airflow_commands(services)
    assert len(commands) == 7
    for argv in commands:
        get_parser().parse_args(argv)  # exits on an unknown command or option


def test_airflow_and_cosmos_know_every_configuration_key(services: dict[str, Any]) -> None:
    keys = set(re.findall(r"AIRFLOW__([A-Z_]+?)__([A-Z_]+)", COMPOSE_TEXT + DOCKERFILE))
    assert len(keys) > 10
    for section, option in {(s.lower(), o.lower().removesuffix("_cmd")) for s, o in keys}:
        if section == "cosmos":  # it reads its options without declaring them to Airflow
            assert hasattr(cosmos.settings, option), option
        elif section in celery_info()["config"]:
            assert option in celery_info()["config"][section]["options"]
        else:
            assert option in conf.configuration_description[section]["options"], (section, option)


def test_init_writes_a_private_passwords_file(services: dict[str, Any], tmp_path: Path) -> None:
    fake_airflow = tmp_path / "airflow"
    fake_airflow.write_text("#!/bin/sh\n")
    fake_airflow.chmod(0o755)
    passwords, secret = tmp_path / "passwords.json", tmp_path / "secret"
    shell, options, script = services["airflow-init"]["command"]
    for password in ("first", "a \"quoted\" 'second' one: $HOME \\ ü"):  # the second replaces the first
        env = {
            "PATH": f"{tmp_path}{os.pathsep}{SEARCH_PATH}",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
            "ADMIN_PASSWORD_FILE": str(secret),
        }
        secret.write_text(password, encoding="utf-8")
        result = run(shell, options, script.replace("$$", "$"), env=env)
        assert result.returncode == 0, result.stderr
        assert json.loads(passwords.read_text()) == {ADMIN_USER: password}
        assert stat.S_IMODE(passwords.stat().st_mode) == 0o600


@pytest.mark.parametrize(("answer", "exit_code"), [(200, 0), (503, 1)])
@pytest.mark.parametrize(
    "service", ["api-server", "scheduler", "simulator", "producer", "producer-live", "consumer"]
)
def test_health_check_tells_healthy_from_unhealthy(
    service: str, answer: int, exit_code: int, services: dict[str, Any]
) -> None:
    with serving(answer) as port:
        result = health_check(services[service], port)
    assert result.returncode == exit_code, result.stderr


@pytest.mark.parametrize(
    ("service", "component"), [("dag-processor", "dag_processor"), ("triggerer", "triggerer")]
)
def test_health_check_asks_for_the_heartbeat_of_its_component(
    service: str, component: str, services: dict[str, Any]
) -> None:
    """The answer is the api-server's; another component's state is not this one's."""
    for mine, others, exit_code in (
        ("healthy", "unhealthy", 0),
        ("unhealthy", "healthy", 1),
        (None, "healthy", 1),
    ):
        names = ("metadatabase", "scheduler", "triggerer", "dag_processor")
        found = {name: {"status": mine if name == component else others} for name in names}
        with serving(200, json.dumps(found).encode()) as port:
            result = health_check(services[service], port)
        assert result.returncode == exit_code, result.stderr


def health_check(service: dict[str, Any], port: int) -> subprocess.CompletedProcess[str]:
    """Run a service's health check against a server at a port of this machine."""
    _, program, *arguments = service["healthcheck"]["test"]
    return run(
        program, *(re.sub(r"^http://[a-z-]+:\d+/", f"http://localhost:{port}/", one) for one in arguments)
    )


@contextlib.contextmanager
def serving(answer: int, body: bytes = b"") -> Iterator[int]:
    """Answer every GET with this status and body; yields the port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(answer)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Keep the test's output quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize("dockerfile", ["Dockerfile", "streaming_workers/Dockerfile"])
def test_dockerfile_passes_hadolint(dockerfile: str) -> None:
    result = run("hadolint", "--failure-threshold", "warning", dockerfile)
    assert result.returncode == 0, result.stdout


def test_containers_run_the_kafka_that_make_runs(services: dict[str, Any]) -> None:
    assert services["kafka"]["image"].partition("@")[0] == f"apache/kafka:{kafka_version()}"


def test_image_holds_the_airflow_and_a_python_of_the_lock() -> None:
    found = re.search(
        r"^FROM \S+/runtime:(\d+\.\d+)-\d+-python-([\d.]+)-base(?:@sha256:\w+)?$", DOCKERFILE, re.MULTILINE
    )
    assert found, "the ONBUILD steps of an image without -base refuse a lock that names apache-airflow"
    airflow, python = found.groups()
    assert version("apache-airflow").startswith(f"{airflow}.")
    supported = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert python in SpecifierSet(supported)


def test_image_runs_as_an_ordinary_user() -> None:
    assert re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE)[-1] == "astro"


def test_image_makes_every_mount_point_of_a_volume(services: dict[str, Any]) -> None:
    """A volume on a path that the image lacks would belong to root."""
    for image, dockerfile in (("airflow", DOCKERFILE), ("workers", WORKERS_DOCKERFILE)):
        built = [s for s in services.values() if s["image"] == f"marketing-insight-pipeline/{image}:local"]
        mounts = {v["target"] for s in built for v in s.get("volumes", []) if v["type"] == "volume"}
        made = {word for line in re.findall(r"install -d (.*)", dockerfile) for word in line.split()}
        assert mounts
        assert mounts <= made


def test_image_parses_dbt_as_the_local_stack_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []

    def record(argv: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        calls.append(["python", *argv[1:-1]])  # the image's is the project in its place
        return subprocess.CompletedProcess(argv, 0)

    monkeypatch.setattr("standalone.manifest.subprocess.run", record)
    (tmp_path / "dbt_project.yml").touch()
    manifest.refresh_manifest(Settings(local_dir=tmp_path), project=tmp_path)
    made = re.findall(r"^RUN (python -m include.*)$", DOCKERFILE, re.MULTILINE)
    assert calls == [shlex.split(line) for line in made]


def test_astro_settings_match_the_stack_and_hold_no_secret() -> None:
    airflow = yaml.safe_load((ROOT / "airflow_settings.yaml").read_text())["airflow"]
    assert [(p["pool_name"], p["pool_slot"]) for p in airflow["pools"]] == [(stack.POOL, stack.POOL_SLOTS)]
    (connection,) = airflow["connections"]
    assert connection["conn_id"] == "snowflake_default"
    assert "conn_password" not in connection
    assert not connection["conn_extra"]["private_key_file"]
