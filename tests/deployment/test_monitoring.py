"""Prometheus rules fire when they should and only then; rules and dashboards name metrics that exist."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import airflow.sdk
import pytest
import yaml
from prometheus_client import REGISTRY

import streaming_workers.consumer.__main__
import streaming_workers.producer.__main__  # noqa: F401 (registers its metrics, as the consumer does)
from include.settings import get_settings
from tests.deployment.compose import services_of
from tests.deployment.tools import ROOT, SEARCH_PATH, run
from tests.test_docs import first_cells

PROMETHEUS = ROOT / "deploy/prometheus"
RULES = [
    rule
    for group in yaml.safe_load((PROMETHEUS / "rules.yml").read_text())["groups"]
    for rule in group["rules"]
]
DASHBOARDS = sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))
PROMTOOL = shutil.which(
    "promtool", path=f"{SEARCH_PATH}:{get_settings().local_dir / 'promtool' / 'usr' / 'bin'}"
)
needs_promtool = pytest.mark.skipif(
    not PROMTOOL, reason="promtool is not on this machine: `make promtool` takes it from Debian's prometheus"
)
# Of a native histogram, which promtool's series cannot state; the dashboard shows it.
WITHOUT_RULE = {"dagrun.schedule_delay"}

QUIET = "7x90"
GROWS = "0+2x90"
BORN = "_x60 1x30"  # a counter with a label, whose first event makes it
# What each alert fires on after 75 minutes, and what it must not fire on; one sample a minute.
CASES: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "WorkerDown": (
        {'up{job="producer",instance="a"}': "1x60 0x30"},
        {'up{job="producer",instance="a"}': "1x60 0x2 1x30", 'up{job="other"}': "0x90"},
    ),
    "ConsumerMissing": ({'up{job="producer"}': "1x90"}, {'up{job="consumer"}': "1x90"}),
    "ConsumerLagGrows": (
        {'consumer_lag_messages{topic="t",partition="0"}': GROWS},
        {
            'consumer_lag_messages{topic="t",partition="0"}': QUIET,
            'consumer_lag_messages{topic="u",partition="0"}': "900-9x90",
        },
    ),
    "ConsumerStoresNothing": (
        {'consumer_lag_messages{topic="t"}': QUIET, "consumer_last_progress_timestamp_seconds": "60x90"},
        {'consumer_lag_messages{topic="t"}': "0x90", "consumer_last_progress_timestamp_seconds": "60x90"},
    ),
    "ConsumerEventsLate": (
        {
            'consumer_event_latency_seconds_bucket{le="300.0"}': "0+1x90",
            'consumer_event_latency_seconds_bucket{le="1800.0"}': "0+9x90",
            'consumer_event_latency_seconds_bucket{le="+Inf"}': "0+9x90",
        },
        {
            'consumer_event_latency_seconds_bucket{le="300.0"}': "0+9x90",
            'consumer_event_latency_seconds_bucket{le="1800.0"}': "0+9x90",
            'consumer_event_latency_seconds_bucket{le="+Inf"}': "0+9x90",
        },
    ),
    "ConsumerStoresSlowly": (
        {
            'consumer_store_seconds_bucket{le="30.0"}': "0+1x90",
            'consumer_store_seconds_bucket{le="60.0"}': "0+9x90",
            'consumer_store_seconds_bucket{le="+Inf"}': "0+9x90",
        },
        {
            'consumer_store_seconds_bucket{le="30.0"}': "0+9x90",
            'consumer_store_seconds_bucket{le="60.0"}': "0+9x90",
            'consumer_store_seconds_bucket{le="+Inf"}': "0+9x90",
        },
    ),
    "ConsumerRetries": (
        {'consumer_retries_total{error="Locked"}': GROWS},
        {'consumer_retries_total{error="Locked"}': "0x60 1x30"},
    ),
    "ConsumerDeadLetters": (
        {'consumer_dead_letters_total{topic="t"}': "_x70 1x30"},
        {'consumer_dead_letters_total{topic="t"}': QUIET},
    ),
    "ConsumerMessagesLost": (
        {'consumer_lost_messages_total{topic="t"}': BORN},
        {'consumer_lost_messages_total{topic="t"}': QUIET},
    ),
    "ConsumerConflicts": ({"consumer_conflicts_total": GROWS}, {"consumer_conflicts_total": "0x60 3x30"}),
    "ConsumerSnowpipeRejectsRows": (
        {"consumer_snowpipe_rejected_rows_total": "0x70 1x30"},
        {"consumer_snowpipe_rejected_rows_total": QUIET},
    ),
    "ProducerFeedSilent": (
        {
            'producer_last_poll_timestamp_seconds{feed="news"}': "60x90",
            'producer_last_poll_timestamp_seconds{feed="prices"}': "0+60x90",
        },
        {'producer_last_poll_timestamp_seconds{feed="news"}': "0+60x90"},
    ),
    "ProducerFeedErrors": (
        {'producer_feed_errors_total{feed="news",reason="timeout"}': GROWS},
        {'producer_feed_errors_total{feed="news",reason="timeout"}': "0x60 1x30"},
    ),
    "ProducerEventsWaiting": (
        {"producer_events_waiting": "0x60 3x30"},
        {"producer_events_waiting": "0x60 3x3 0x30"},
    ),
    "ProducerEventsRefused": (
        {'producer_events_refused_total{topic="t"}': "0x70 1x30"},
        {'producer_events_refused_total{topic="t"}': QUIET},
    ),
    "ProducerItemsRejected": (
        {'producer_items_rejected_total{feed="news",reason="no_url"}': "_x70 1x30"},
        {'producer_items_rejected_total{feed="news",reason="no_url"}': QUIET},
    ),
    "AirflowSchedulerSilent": (
        {"airflow_scheduler_heartbeat_total": "0+12x60 720x30"},
        {"airflow_scheduler_heartbeat_total": "0+12x90"},
    ),
    "AirflowDagProcessorSilent": ({}, {"airflow_dag_processor_heartbeat_total": "0+12x90"}),
    "AirflowImportErrors": (
        {"airflow_dag_processing_import_errors": "0x60 1x30"},
        {"airflow_dag_processing_import_errors": "0x90"},
    ),
    "AirflowProcessorTimeouts": (
        {"airflow_dag_processing_processor_timeouts_total": "_x70 1x30"},
        {"airflow_dag_processing_processor_timeouts_total": QUIET},
    ),
    "AirflowCallbackFailed": (
        {"airflow_dag_callback_exceptions_total": "1x70 2x30"},
        {"airflow_dag_callback_exceptions_total": QUIET},
    ),
    "AirflowDeadlineMissed": (
        {'airflow_deadline_alerts_deadline_missed_total{dag_id="d"}': "_x70 1x30"},
        {'airflow_deadline_alerts_deadline_missed_total{dag_id="d"}': QUIET},
    ),
    "AirflowWarehousePoolFull": (
        {'airflow_pool_queued_slots{pool_name="warehouse"}': "2x90"},
        {
            'airflow_pool_queued_slots{pool_name="warehouse"}': "2x40 0x2 2x40",
            'airflow_pool_queued_slots{pool_name="default_pool"}': "2x90",
        },
    ),
    "AirflowTasksKilled": (
        {"airflow_task_instances_without_heartbeats_killed_total": "_x70 1x30"},
        {"airflow_task_instances_without_heartbeats_killed_total": QUIET},
    ),
}


def rule_test(alert: str, series: dict[str, str], *, fires: bool) -> dict[str, Any]:
    """Return a unit test in promtool's form: after 75 minutes one alert of this name fires, or none does."""
    expr = f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})'
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": expr,
                "eval_time": "75m",
                "exp_samples": [{"labels": "{}", "value": 1}] if fires else [],
            }
        ],
    }


def test_every_rule_is_tested() -> None:
    assert [rule["alert"] for rule in RULES] == list(CASES)


@needs_promtool
@pytest.mark.parametrize("fires", [True, False], ids=["fires", "keeps quiet"])
def test_each_alert(tmp_path: Path, *, fires: bool) -> None:
    tests = [rule_test(name, case[0 if fires else 1], fires=fires) for name, case in CASES.items()]
    file = tmp_path / "rules_test.yml"
    file.write_text(
        yaml.safe_dump(
            {"rule_files": [str(PROMETHEUS / "rules.yml")], "evaluation_interval": "1m", "tests": tests}
        )
    )
    result = run(str(PROMTOOL), "test", "rules", file)
    assert result.returncode == 0, result.stdout + result.stderr


@needs_promtool
def test_prometheus_takes_its_configuration() -> None:
    result = run(str(PROMTOOL), "check", "config", PROMETHEUS / "prometheus.yml")
    assert result.returncode == 0, result.stdout + result.stderr


def of_the_workers() -> set[str]:
    """Return the series that the workers expose."""
    kinds = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
    return {metric.name + end for metric in REGISTRY.collect() for end in kinds.get(metric.type, ())}


def of_airflow() -> dict[str, str]:
    """Return Airflow's own metrics, and what Prometheus calls each that comes by OTLP.

    Its rules: a dot becomes an underscore, a counter ends in _total, a unit is spelled out.
    """
    template = Path(airflow.sdk.__file__).parent / "_shared/observability/metrics/metrics_template.yaml"
    ends = {"counter": "_total", "gauge": "", "timer": "_milliseconds"}
    return {
        metric["name"]: "airflow_" + re.sub(r"\W", "_", metric["name"]) + ends[metric["type"]]
        for metric in yaml.safe_load(template.read_text())["metrics"]
    }


def metrics_in(expression: str) -> set[str]:
    """Return the metrics that a PromQL expression names."""
    return set(re.findall(r"\b(?:airflow|consumer|producer)_\w+|\bup\b", re.sub(r'"[^"]*"', "", expression)))


EXPRESSIONS = [rule["expr"] for rule in RULES] + [
    target["expr"]
    for board in DASHBOARDS
    for panel in json.loads(board.read_text())["panels"]
    for target in panel["targets"]
]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_rules_and_dashboards_name_metrics_that_exist(expression: str) -> None:
    named = metrics_in(expression)
    assert named
    assert named <= of_the_workers() | set(of_airflow().values()) | {"up"}


def test_every_metric_that_calls_for_an_operator_has_a_rule() -> None:
    in_rules = set().union(*(metrics_in(rule["expr"]) for rule in RULES))
    workers = first_cells("Metrics of the workers")
    ours = {name if name in in_rules else f"{name}_bucket" for name in workers}
    assert ours <= in_rules
    assert {of_airflow()[name] for name in first_cells("Metrics of Airflow") - WITHOUT_RULE} <= in_rules


def test_dashboards_ask_the_provisioned_prometheus() -> None:
    (source,) = yaml.safe_load((ROOT / "deploy/grafana/datasources.yml").read_text())["datasources"]
    services = services_of("monitoring")
    assert source["url"] == "http://prometheus:9090"
    assert len(DASHBOARDS) == 2
    for board in map(json.loads, (path.read_text() for path in DASHBOARDS)):
        assert {panel["datasource"]["uid"] for panel in board["panels"]} == {source["uid"]}
    mounted = {volume["target"] for volume in services["grafana"]["volumes"] if volume["type"] == "bind"}
    (provider,) = yaml.safe_load((ROOT / "deploy/grafana/dashboards.yml").read_text())["providers"]
    assert provider["options"]["path"] in mounted


def test_prometheus_scrapes_the_workers_where_they_serve() -> None:
    """Each by the name and port of its service, and it takes what Airflow pushes."""
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    services = services_of("simulator,live,monitoring")
    for job in config["scrape_configs"]:
        (found,) = job["dns_sd_configs"]
        for name in found["names"]:
            assert f":{found['port']}/healthz" in " ".join(services[name]["healthcheck"]["test"])
    endpoint = services["scheduler"]["environment"]["OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"]
    assert endpoint == "http://prometheus:9090/api/v1/otlp/v1/metrics"
    assert "--web.enable-otlp-receiver" in services["prometheus"]["command"]


def test_no_two_services_of_airflow_write_one_series() -> None:
    """Prometheus takes the service's name as the label `job`, which keeps their counters apart."""
    services = services_of("scale,monitoring")
    running = [s for s in services.values() if s["image"].startswith("marketing-insight-pipeline/airflow")]
    names = [s["environment"]["OTEL_SERVICE_NAME"] for s in running if s["restart"] != "no"]
    assert len(names) == 5
    assert len(set(names)) == len(names)
