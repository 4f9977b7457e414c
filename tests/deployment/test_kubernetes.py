"""The workers' Kubernetes manifests: their schema, and that they run what the compose file runs."""

import re
import shlex
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml
from dotenv import dotenv_values
from pydantic_settings import BaseSettings

from include.settings import Settings, SnowflakeSettings
from streaming_workers.settings import ConsumerSettings, KafkaSettings, MonitoringSettings, ProducerSettings
from tests.deployment.compose import services_of
from tests.deployment.tools import ROOT

FOLDER = ROOT / "deploy/kubernetes"
KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
RESOURCES = [
    resource
    for name in KUSTOMIZATION["resources"]
    for resource in yaml.safe_load_all((FOLDER / name).read_text())
]
DEPLOYMENTS = {one["metadata"]["name"]: one for one in RESOURCES if one["kind"] == "Deployment"}
# The service that each is in the compose file.
SERVICES = {"producer": "producer-live", "consumer": "consumer"}
SETTINGS: dict[str, list[type[BaseSettings]]] = {
    "producer": [ProducerSettings, KafkaSettings, MonitoringSettings],
    "consumer": [ConsumerSettings, KafkaSettings, MonitoringSettings, SnowflakeSettings, Settings],
}
PORTS = {
    "producer": ProducerSettings.model_fields["producer_metrics_port"].default,
    "consumer": ConsumerSettings.model_fields["metrics_port"].default,
}


def variables(settings: type[BaseSettings]) -> set[str]:
    """Return the environment variables that settings are read from."""
    prefix = settings.model_config.get("env_prefix", "")
    found = {f"{prefix}{name}".upper() for name in settings.model_fields}
    aliases = [field.validation_alias for field in settings.model_fields.values() if field.validation_alias]
    return found | {str(choice) for alias in aliases for choice in getattr(alias, "choices", [alias])}


@pytest.fixture(params=sorted(SERVICES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def pod(name: str) -> dict[str, Any]:
    found: dict[str, Any] = DEPLOYMENTS[name]["spec"]["template"]["spec"]
    return found


@pytest.fixture
def container(pod: dict[str, Any]) -> dict[str, Any]:
    (found,) = pod["containers"]
    assert isinstance(found, dict)
    return found


def test_every_file_belongs_to_the_kustomization() -> None:
    (generator,) = KUSTOMIZATION["configMapGenerator"]
    named = {*KUSTOMIZATION["resources"], *generator["envs"], "kustomization.yaml"}
    assert {path.name for path in FOLDER.iterdir()} == named


@pytest.mark.parametrize("version", ["1.32", "1.37"])
@pytest.mark.parametrize("resource", RESOURCES, ids=lambda one: f"{one['kind']} {one['metadata']['name']}")
def test_a_resource_has_a_valid_form(resource: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(resource, version, strict=True)


def test_a_worker_runs_what_the_compose_file_runs(name: str, container: dict[str, Any]) -> None:
    service = services_of("live")[SERVICES[name]]
    assert container["command"] == service["command"]
    assert container["image"] == service["image"].partition(":")[0]
    assert [image["name"] for image in KUSTOMIZATION["images"]] == [container["image"]]


def test_probes_and_prometheus_ask_where_a_worker_answers(name: str, container: dict[str, Any]) -> None:
    assert container["ports"] == [{"name": "metrics", "containerPort": PORTS[name]}]
    for probe in ("readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"] == {"path": "/healthz", "port": "metrics"}
    notes = DEPLOYMENTS[name]["spec"]["template"]["metadata"]["annotations"]
    assert notes["prometheus.io/port"] == str(PORTS[name])
    assert notes["prometheus.io/path"] == "/metrics"


def test_a_worker_knows_every_variable_that_it_gets(name: str, container: dict[str, Any]) -> None:
    shared = set(dotenv_values(FOLDER / "workers.env"))
    own = {one["name"] for one in container["env"]}
    known = set().union(*(variables(one) for one in SETTINGS[name]))
    assert own <= known
    of_any = set().union(*(variables(one) for settings in SETTINGS.values() for one in settings))
    assert shared <= of_any
    assert not shared & own
    # The settings take the values as they stand, logins aside.
    values = {key: value for key, value in dotenv_values(FOLDER / "workers.env").items() if value}
    login = {"KAFKA_SASL_USERNAME": "somebody", "KAFKA_SASL_PASSWORD": "something"}
    with pytest.MonkeyPatch.context() as patch:
        for key, value in {**values, **login}.items():
            patch.setenv(key, value)
        for settings in SETTINGS[name]:
            settings()


def test_secrets_come_by_reference(name: str, container: dict[str, Any]) -> None:
    for variable in container["env"]:
        if re.search("PASSWORD|PASSPHRASE|KEY$|USERNAME", variable["name"]):
            assert variable["valueFrom"]["secretKeyRef"]["name"], variable["name"]
    in_clear = set(dotenv_values(FOLDER / "workers.env"))
    assert not [one for one in in_clear if re.search("PASSWORD|PASSPHRASE|KEY|TOKEN", one)]


def test_only_the_consumer_sees_the_key_of_the_warehouse() -> None:
    volumes = {name: one["spec"]["template"]["spec"]["volumes"] for name, one in DEPLOYMENTS.items()}
    mounted = {
        name: [volume["secret"]["secretName"] for volume in found if "secret" in volume]
        for name, found in volumes.items()
    }
    assert mounted == {"producer": [], "consumer": ["snowflake-key"]}
    (container,) = DEPLOYMENTS["consumer"]["spec"]["template"]["spec"]["containers"]
    mount = next(one for one in container["volumeMounts"] if one["name"] == "snowflake-key")
    path = next(one["value"] for one in container["env"] if one["name"] == "SNOWFLAKE_PRIVATE_KEY_PATH")
    assert str(Path(path).parent) == mount["mountPath"]


def test_a_pod_has_no_more_rights_than_it_needs(pod: dict[str, Any], container: dict[str, Any]) -> None:
    """What the Pod Security Standard `restricted` asks for, and a root file system that cannot be written."""
    dockerfile = (ROOT / "streaming_workers/Dockerfile").read_text()
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert f"useradd --uid {pod['securityContext']['runAsUser']} " in dockerfile
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False
    # Or the Service of a broker sets variables that begin with KAFKA_.
    assert pod["enableServiceLinks"] is False
    assert container["resources"]["limits"]["memory"]
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}


def test_selectors_find_the_pods() -> None:
    for one in DEPLOYMENTS.values():
        labels = one["spec"]["template"]["metadata"]["labels"]
        assert one["spec"]["selector"]["matchLabels"].items() <= labels.items()
    (budget,) = [one for one in RESOURCES if one["kind"] == "PodDisruptionBudget"]
    labels = DEPLOYMENTS["consumer"]["spec"]["template"]["metadata"]["labels"]
    assert budget["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert DEPLOYMENTS["consumer"]["spec"]["replicas"] <= KafkaSettings.model_fields["partitions"].default


MANUAL = (ROOT / "docs/deployment.md").read_text(encoding="utf-8").partition("## Workers on Kubernetes")[2]
COMMANDS = [
    shlex.split(line, comments=True)
    for block in re.findall(r"^```bash\n(.*?)^```", MANUAL.partition("\n## ")[0], re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]


def test_the_manual_makes_the_secrets_that_the_pods_read() -> None:
    made = {
        words[4]: {word.split("=")[1] for word in words[5:]}
        for words in COMMANDS
        if words[:3] == ["kubectl", "create", "secret"]
    }
    read: dict[str, set[str]] = {}
    for one in DEPLOYMENTS.values():
        pod = one["spec"]["template"]["spec"]
        references = [
            env["valueFrom"]["secretKeyRef"] for env in pod["containers"][0]["env"] if "valueFrom" in env
        ]
        volumes = [volume["secret"] for volume in pod["volumes"] if "secret" in volume]
        references += [
            {"name": one["secretName"], "key": item["key"]} for one in volumes for item in one["items"]
        ]
        for reference in references:
            read.setdefault(reference["name"], set()).add(reference["key"])
    assert made == read
    user = dotenv_values(FOLDER / "workers.env")["SNOWFLAKE_USER"] or ""
    (key,) = {word for words in COMMANDS for word in words if word.startswith("--from-file=")}
    assert key.endswith(
        f"/{user.lower().removeprefix('marketing_')}.p8"
    )  # as docs/snowflake.md names the keys


def test_the_manuals_overlay_fits_the_base_and_what_is_pushed() -> None:
    (overlay,) = map(yaml.safe_load, re.findall(r"^```yaml\n(.*?)^```", MANUAL, re.MULTILINE | re.DOTALL))
    (base,) = KUSTOMIZATION["images"]
    (image,) = overlay["images"]
    (push,) = (
        dict(word.split("=", 1) for word in words[2:]) for words in COMMANDS if words[:2] == ["make", "push"]
    )
    assert image["name"] == base["newName"]  # an overlay sees the base's result
    assert image["newName"] == f"{push['REGISTRY']}/{base['name']}"
    assert image["newTag"] == push["IMAGE_TAG"]
    assert push["WAREHOUSE"] == dotenv_values(FOLDER / "workers.env")["WAREHOUSE"]
    (generator,), (settings,) = KUSTOMIZATION["configMapGenerator"], overlay["configMapGenerator"]
    assert (settings["name"], settings["behavior"]) == (generator["name"], "merge")
    changed = {line.partition("=")[0] for line in settings["literals"]}
    assert changed < set(dotenv_values(FOLDER / "workers.env"))
    assert [Path(one).parts[-2:] for one in overlay["resources"]] == [("deploy", "kubernetes")]
    assert ["kubectl", "create", "namespace", overlay["namespace"]] in [words[:4] for words in COMMANDS]


def test_the_bases_image_is_that_of_a_release() -> None:
    (base,) = KUSTOMIZATION["images"]
    released = re.findall(r"^## (\d\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert base["newTag"] == f"v{released[0]}"  # release.yml pushes it by the tag's name
