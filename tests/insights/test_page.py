"""The page in a real Chromium: charts, periods, downloads, theme, keyboard, screen reader, live line."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from include.insights import live
from include.insights.page import MAKERS
from include.settings import Settings
from tests.browser import PAGE_TIMEOUT_MS, chromium
from tests.insights.axe import violations
from tests.insights.server import served

VIEWS = [(theme, width) for theme in ("light", "dark") for width in (1280, 390)]
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def exports() -> list[str]:
    return []


@pytest.fixture(scope="module")
def address(location: str, exports: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    local = tmp_path_factory.mktemp("local")
    with served(
        Settings(insights_location=location, local_dir=local, duckdb_path=local / "none"), exports
    ) as one:
        yield one


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as one:
        yield one


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    one = browser.new_context(viewport={"width": 1280, "height": 900})
    one.set_default_timeout(PAGE_TIMEOUT_MS)
    yield one
    one.close()


@pytest.fixture
def opened(context: BrowserContext, address: str) -> Iterator[Open]:
    """Open the page; at the end nothing was complained about, neither an error nor a broken policy."""
    complaints: list[str] = []

    def open_page(query: str = "", theme: str = "light", width: int = 1280) -> Page:
        page = context.new_page()
        page.set_viewport_size({"width": width, "height": 900})
        page.add_init_script(f"localStorage.setItem('theme', '{theme}')")
        page.on(
            "console",
            lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None,
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(f"dialog {dialog.message}"))
        page.goto(address + query)
        expect(page.locator("[data-chart] svg").first).to_be_visible()
        return page

    yield open_page
    assert complaints == []


def test_every_block_is_there_and_every_chart_is_drawn(opened: Open) -> None:
    page = opened()
    for key in MAKERS:
        expect(page.locator(f"article#{key} h3")).to_be_visible()
    charts = page.locator("[data-chart]")
    assert charts.count() > 12
    for place in range(charts.count()):
        expect(charts.nth(place).locator("svg path").first).to_be_attached()
    expect(page.locator(".tile .value")).to_have_count(8)
    assert page.locator(".spark polyline").count() == 8


# In Airflow's frame a screen of 390 leaves 318.
@pytest.mark.parametrize(("theme", "width"), [*VIEWS, ("light", 318)])
def test_nothing_is_wider_than_the_screen(opened: Open, theme: str, width: int) -> None:
    page = opened(theme=theme, width=width)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    overlapping = page.evaluate(
        """() => [...document.querySelectorAll('.tile')]
        .filter((tile) => tile.scrollWidth > tile.clientWidth + 1)
        .map((tile) => tile.id)"""
    )
    assert overlapping == []


@pytest.mark.parametrize(("theme", "width"), VIEWS)
def test_axe_finds_no_violation(opened: Open, theme: str, width: int) -> None:
    page = opened(theme=theme, width=width)
    assert violations(page) == []
    assert page.evaluate("document.documentElement.dataset.theme") == theme


def test_a_preset_changes_the_figures_and_its_link_keeps_it(opened: Open, address: str) -> None:
    page = opened()
    orders = page.locator("#kpi-order_count .value")
    before = orders.inner_text()
    page.get_by_role("link", name="Last 30 days").click()
    expect(page.get_by_role("link", name="Last 30 days")).to_have_attribute("aria-current", "page")
    after = orders.inner_text()
    assert after != before
    link = page.url
    again = opened(link.removeprefix(address))
    expect(again.locator("#kpi-order_count .value")).to_have_text(after)


def test_days_of_ones_own_without_comparison(opened: Open) -> None:
    page = opened()
    page.get_by_label("From").fill("2019-03-01")
    page.get_by_label("to", exact=True).fill("2019-03-31")
    page.get_by_label("Compare with the period before").uncheck()
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#kpis .sentence")).to_have_text("1 Mar to 31 Mar 2019, not compared.")
    assert "first=2019-03-01" in page.url
    expect(page.locator(".tile .good, .tile .bad")).to_have_count(0)
    page.get_by_role("link", name="Last 90 days").click()
    expect(page.get_by_label("Compare with the period before")).not_to_be_checked()


def test_a_block_is_downloaded_for_the_period_of_the_page(opened: Open, exports: list[str]) -> None:
    page = opened("?period=30d&compare=1")
    with page.expect_download() as waiting:
        page.locator("#new_and_returning a.csv").click()
    assert waiting.value.suggested_filename == "new_and_returning_2019-12-02_2019-12-31.csv"
    text = Path(waiting.value.path()).read_bytes().decode("utf-8-sig")
    [row] = csv.DictReader(io.StringIO(text))
    assert row["month"] == "2019-12-01"
    assert exports[-1] == "block new_and_returning, 2019-12-02 to 2019-12-31, 1 rows"


def test_an_audience_is_downloaded(opened: Open, exports: list[str]) -> None:
    page = opened()
    page.get_by_role("combobox", name="Who").select_option("segment-3")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download CSV").click()
    assert waiting.value.suggested_filename == "segment-3_customer-ids-only_2019-12-31.csv"
    rows = list(csv.DictReader(io.StringIO(Path(waiting.value.path()).read_bytes().decode("utf-8-sig"))))
    assert {row["segment_name"] for row in rows} == {"Champions (VIPs)"}
    assert exports[-1] == f"audience segment-3 for generic, {len(rows)} rows"


def luminance(page: Page) -> float:
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return sum(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(",")) / 3


def test_the_theme_is_airflows_and_follows_its_switch(
    opened: Open, context: BrowserContext, address: str
) -> None:
    page = opened(theme="dark")
    assert luminance(page) < 60
    axis = page.locator("#segments svg text").first
    dark = axis.get_attribute("fill")
    airflow = context.new_page()  # the frame around is another window of the same origin
    airflow.goto(f"{address}static/icon.svg")
    airflow.evaluate("localStorage.setItem('theme', 'light')")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    assert luminance(page) > 200
    expect(axis).not_to_have_attribute("fill", str(dark))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_systems_theme_counts_where_airflow_leaves_it_to_that(
    browser: Browser, address: str, scheme: Any
) -> None:
    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    page.add_init_script("localStorage.setItem('theme', 'system')")
    page.goto(address)
    expect(page.locator("html")).to_have_attribute("data-theme", scheme)
    context.close()


def test_it_works_by_keyboard_alone(opened: Open) -> None:
    page = opened()
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the figures")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    summary = page.locator("#segments details.data summary")
    for _ in range(60):
        page.keyboard.press("Tab")
        if summary.evaluate("(one) => one === document.activeElement"):
            break
    expect(summary).to_be_focused()
    assert summary.evaluate("(one) => getComputedStyle(one).outlineStyle") != "none"
    page.keyboard.press("Enter")
    expect(page.locator("#segments details.data table")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.locator("#segments .scroll")).to_be_focused()


def test_without_scripts_the_figures_are_still_there(browser: Browser, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    expect(page.locator(".claims li").first).to_be_visible()
    page.locator("#categories details.data summary").click()
    expect(page.locator("#categories details.data table")).to_be_visible()
    context.close()


def test_the_live_line_counts_its_age_from_the_snapshot(opened: Open) -> None:
    page = opened()
    expect(page.locator("#live-price")).to_have_text("63,760.00 USD")
    expect(page.locator("#live-source")).to_have_text("from the snapshot")
    assert page.locator("#live-price-age").inner_text().endswith("days ago")


def live_warehouse(path: Path, price: int, seconds: int) -> None:
    """Make the two live views of a warehouse, with one event each of some seconds ago."""
    then = datetime.now(UTC) - timedelta(seconds=seconds)
    with duckdb.connect(str(path)) as connection:
        connection.execute("create schema if not exists streaming")
        for table, columns in {
            "bitcoin_prices_live": f"'bitcoin' as coin, {price}::decimal(18, 2) as price_usd",
            "news_live": "'A headline' as headline",
        }.items():
            connection.execute(
                f"create or replace table streaming.{table} as select {columns}, $then::timestamptz as"
                " event_timestamp",
                {"then": then},
            )


def test_the_live_line_shows_what_the_warehouse_holds(
    location: str, context: BrowserContext, tmp_path: Path
) -> None:
    path = tmp_path / "live.duckdb"
    live_warehouse(path, 71_234, 5)
    with served(Settings(insights_location=location, local_dir=tmp_path, duckdb_path=path)) as address:
        page = context.new_page()
        page.goto(address)
        expect(page.locator("#live-price")).to_have_text("71,234.00 USD")
        expect(page.locator("#live-source")).to_have_text("from the warehouse")
        first = page.locator("#live-price-age").inner_text()
        assert first.endswith(" s ago")
        expect(page.locator("#live-price-age")).not_to_have_text(first)  # it counts on


def test_a_writer_keeps_the_warehouse_and_the_page_its_last_value(
    location: str, tmp_path: Path, snapshot: Any
) -> None:
    """Another process that writes is neither waited for nor disturbed, and nothing stays open afterwards."""
    import subprocess
    import sys

    path = tmp_path / "live.duckdb"
    live_warehouse(path, 71_234, 5)
    settings = Settings(insights_location=location, local_dir=tmp_path, duckdb_path=path)
    hold = (
        f"import duckdb, sys; c = duckdb.connect({str(path)!r}); print('held', flush=True); sys.stdin.read()"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert writer.stdout
        assert writer.stdout.readline() == "held\n"
        assert live._newest.__wrapped__(settings, snapshot, 0).source == "snapshot"
    finally:
        writer.communicate("", timeout=60)
    assert live._newest.__wrapped__(settings, snapshot, 0).price_usd == 71_234
    live_warehouse(path, 71_235, 5)  # nobody holds the file


def test_the_data_of_a_chart_is_what_its_table_says(opened: Open) -> None:
    page = opened()
    option = json.loads(page.locator("#chart-concentration").inner_text())
    page.locator("#concentration details.data summary").click()
    cells = page.locator("#concentration tbody tr td:nth-child(4)").all_inner_texts()
    assert [f"{value * 100:,.1f}\N{NO-BREAK SPACE}%" for value in option["series"][0]["data"]] == cells
