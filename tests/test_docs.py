"""What the docs name exists: metrics, alerts, settings, pages, headings; and the site is built from them."""

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
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


def headings(page: Path, level: str = "#+") -> list[str]:
    return re.findall(rf"^{level} (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)


def anchor_of(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT_ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        assert linked.exists(), target
        if anchor:
            assert anchor in map(anchor_of, headings(linked)), target


def test_the_readme_fits_two_screens_and_shows_the_product() -> None:
    readme = (PROJECT_ROOT / "README.md").read_text(encoding="utf-8")
    assert len(readme.splitlines()) <= 120
    (picture,) = re.findall(r"^!\[.+\]\((.+\.png)\)$", readme, re.MULTILINE)
    content = (PROJECT_ROOT / picture).read_bytes()
    assert content.startswith(b"\x89PNG")
    assert len(content) < 300_000


def test_every_decision_is_in_the_index_and_has_a_date_and_a_status() -> None:
    text = (PROJECT_ROOT / "docs/decisions.md").read_text(encoding="utf-8")
    index, *entries = re.split(r"^## ", text, flags=re.MULTILINE)
    titles = [entry.splitlines()[0] for entry in entries]
    assert re.findall(r"^- (.+)$", index, re.MULTILINE) == [
        f"[{title}](#{anchor_of(title)})" for title in titles
    ]
    status = re.compile(r"\n\n\*20\d\d-\d\d-\d\d · (accepted|superseded by \[.+\]\(#.+\))\*\n\n\S")
    assert [title for title, entry in zip(titles, entries, strict=True) if not status.search(entry)] == []


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the site is made of, with a page in place of dbt's docs."""
    shutil.copytree(PROJECT_ROOT / "docs", tmp_path / "docs")
    for file in (*PROJECT_ROOT.glob("*.md"), PROJECT_ROOT / "LICENSE", PROJECT_ROOT / "mkdocs.yml"):
        shutil.copy(file, tmp_path)
    (tmp_path / "state").mkdir()
    (tmp_path / "state/static_index.html").write_text("<title>dbt Docs</title>")
    return tmp_path


def build(checkout: Path) -> subprocess.CompletedProcess[str]:
    """Run `make docs` without building dbt, whose docs are in the folder `state`."""
    makefile = PROJECT_ROOT / "Makefile"
    settings = [f"VENV={sys.prefix}", "STATE=state", f"SITE={checkout / 'site'}"]
    return subprocess.run(
        ["make", f"--makefile={makefile}", "--old-file=state", *settings, "docs"],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )


class References(HTMLParser):
    """What a page loads or leads to: `loads` from elsewhere by itself, `links` to when clicked."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "a" and found.get("href"):
            self.links.append(found["href"] or "")
        if found.get("src") or (tag == "link" and found.get("href")):
            self.loads.append(found.get("src") or found["href"] or "")


def test_the_site_has_every_page_and_dbts_docs_and_loads_nothing_from_elsewhere(checkout: Path) -> None:
    done = build(checkout)
    assert done.returncode == 0, done.stderr
    site = checkout / "site"
    pages = [*checkout.glob("*.md"), *checkout.glob("docs/**/*.md")]
    html = [path for path in site.rglob("*.html") if path.name != "404.html"]
    assert len(html) == len(pages) + 1
    assert (site / "dbt/index.html").read_text() == "<title>dbt Docs</title>"
    for page in html:
        found = References(page)
        assert [url for url in found.loads if url.startswith(("http", "//"))] == []
        for url in (*found.loads, *found.links):
            path = url.partition("#")[0]
            if path and not path.startswith("http"):
                assert (page.parent / path).exists(), f"{page}: {url}"


BROKEN = {
    "docs/new.md": ("# A page that nav does not list", "not included in the"),
    "docs/tables.md": ("[gone](gone.md)", "'gone.md'"),
    "README.md": ("[gone](docs/tables.md#gone)", "'tables.md#gone'"),
}


def test_the_site_refuses_lost_pages_and_broken_links(checkout: Path) -> None:
    for page, (text, _) in BROKEN.items():
        with (checkout / page).open("a", encoding="utf-8") as file:
            file.write(f"\n{text}\n")
    done = build(checkout)
    assert done.returncode == 2
    assert [complaint for _, complaint in BROKEN.values() if complaint not in done.stderr] == []
    assert done.stderr.count("WARNING") == len(BROKEN)


def test_the_site_without_dbts_docs_says_what_makes_them(checkout: Path) -> None:
    (checkout / "state/static_index.html").unlink()
    done = build(checkout)
    assert done.returncode == 2
    assert "static_index.html is missing: `make docs`" in done.stderr
