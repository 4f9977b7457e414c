"""What the docs name exists: metrics, kinds of alerts, settings, pages and their headings."""

import re
from pathlib import Path

import airflow.sdk
import pytest
import yaml
from prometheus_client import REGISTRY

import streaming_workers.consumer.__main__
import streaming_workers.producer.__main__  # noqa: F401 (registers its metrics, as the consumer does)
from include.alert_kind import AlertKind
from include.settings import PROJECT_ROOT, Settings

MONITORING = (PROJECT_ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
PAGES = [*PROJECT_ROOT.glob("*.md"), *PROJECT_ROOT.glob("docs/**/*.md")]


def first_cells(heading: str) -> set[str]:
    """Return what stands in code in the first column of the tables of a section."""
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", MONITORING, re.MULTILINE | re.DOTALL)
    cells = re.findall(r"^\| ([^|]*`[^|]*) \|", section, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def test_metrics_of_the_workers_are_those_that_they_have() -> None:
    ours = {
        metric.name + ("_total" if metric.type == "counter" else "")
        for metric in REGISTRY.collect()
        if metric.name.startswith(("producer_", "consumer_"))
    }
    documented = first_cells("Metrics of the workers")
    assert documented <= ours
    # Only the offset itself and the plain counts of work done call for nothing.
    assert ours - documented == {
        "consumer_next_offset",
        "consumer_rows_total",
        "consumer_batches_total",
        "producer_events_sent_total",
    }


def test_metrics_of_airflow_are_those_that_it_has() -> None:
    template = Path(airflow.sdk.__file__).parent / "_shared/observability/metrics/metrics_template.yaml"
    known = {metric["name"] for metric in yaml.safe_load(template.read_text())["metrics"]}
    documented = first_cells("Metrics of Airflow")
    assert len(documented) > 5
    assert documented <= known


def test_every_kind_of_alert_and_every_channel_is_documented() -> None:
    documented = first_cells("Alerts")
    kinds = {kind.value for kind in AlertKind} - {AlertKind.TEST}
    channels = {name.upper() for name in Settings.model_fields if name.startswith("alert_")}
    assert documented == kinds | channels - {"ALERT_AFTER_MINUTES"} | {"kind"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT_ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in anchors, target
