"""The report: one file that needs nothing else and names nobody; the e-mail without scripts."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect
from typer.testing import CliRunner

from include.insights.block import Context
from include.insights.page import MAKERS, NAMES_CUSTOMERS, made
from include.insights.report import deliver, mail_body, main, render, send_report, write_report
from include.insights.snapshot import REPORT
from include.settings import Settings, get_settings
from tests.browser import chromium
from tests.insights.axe import violations
from tests.insights.snapshots import write_snapshot
from tests.mail_server import Mails, mail_server

Maker = Callable[..., Context]


def test_it_lies_beside_the_snapshots_and_is_of_the_period(tmp_path: Path) -> None:
    location = write_snapshot(tmp_path)
    where = write_report(location, {"period": "30d", "compare": "1"})
    assert where == f"{location}/{REPORT}"
    text = Path(where).read_text(encoding="utf-8")
    assert "<h1>Insights, 2 Dec to 31 Dec 2019</h1>" in text
    assert "compared with the 30 days before (2 Nov to 1 Dec 2019)" in text


def test_it_goes_where_it_is_asked_to(location: str, tmp_path: Path) -> None:
    target = tmp_path / "new" / "week.html"
    assert write_report(location, {"period": "7d"}, str(target)) == str(target)
    assert target.exists()


def test_the_report_of_a_run_lies_where_the_setting_has_the_snapshots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    location = write_snapshot(tmp_path)
    monkeypatch.setenv("INSIGHTS_LOCATION", location)
    get_settings.cache_clear()
    try:
        found = deliver("", {"from_day": "", "to_day": "", "send": False})
    finally:
        monkeypatch.undo()
        get_settings.cache_clear()
    assert found["report"] == f"{location}/{REPORT}"


def test_it_holds_the_blocks_of_the_page_and_nobodys_rows(context_of: Maker) -> None:
    text = render(context_of())
    assert set(re.findall(r'<article class="block" id="(\w+)"', text)) == MAKERS.keys() - NAMES_CUSTOMERS
    assert made(context_of(), "segments").sentence in text
    assert "Whom to call first</h3>" not in text
    assert "customer_id" not in text


@pytest.mark.slow
def test_it_opens_from_disk_without_a_network_and_prints(context_of: Maker, tmp_path: Path) -> None:
    file = tmp_path / REPORT
    file.write_text(render(context_of()), encoding="utf-8")
    with chromium() as browser:
        context = browser.new_context(offline=True)
        page = context.new_page()
        asked: list[str] = []
        said: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda one: said.append(one.text) if one.type == "error" else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(file.as_uri())
        charts = page.locator("[data-chart]")
        for place in range(charts.count()):
            expect(charts.nth(place).locator("svg path").first).to_be_attached()
        assert asked == [file.as_uri()]
        assert said == []
        assert page.locator("a[href^='csv'], form, a[href^='static']").count() == 0
        assert violations(page) == []
        page.emulate_media(media="print")
        expect(page.locator(".jumps")).to_be_hidden()
        assert page.pdf().startswith(b"%PDF")
        context.close()


def test_make_report_says_where_it_is(location: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import typer

    monkeypatch.setenv("INSIGHTS_LOCATION", location)
    get_settings.cache_clear()
    app = typer.Typer()
    app.command()(main)
    target = tmp_path / "one.html"
    done = CliRunner().invoke(app, ["--period", "30d", "--to", str(target)])
    assert (done.exit_code, done.output.strip()) == (0, str(target))
    bad = CliRunner().invoke(app, ["--period", "custom", "--first", "2019-02-30", "--last", "2019-03-01"])
    assert bad.exit_code == 1
    assert "is no date as in 2019-12-31" in bad.output
    monkeypatch.setenv("INSIGHTS_LOCATION", str(tmp_path))
    get_settings.cache_clear()
    none = CliRunner().invoke(app, [])
    get_settings.cache_clear()
    assert none.exit_code == 1
    assert "marketing_insights" in none.output


def test_the_e_mail_has_figures_sentences_and_a_link_only(context_of: Maker) -> None:
    context = context_of("30d")
    body = mail_body(context)
    for tile in made(context, "kpis").tiles:
        assert tile.value in body
    for claim in made(context, "changes").claims:
        assert claim.figure in body
    assert re.findall(r'href="([^"]+)"', body) == ["http://localhost:8080/insights/?period=30d&amp;compare=1"]
    assert not re.search(r"<(script|style|img|iframe|link|svg|form)\b", body)


@pytest.fixture
def mails(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mails]:
    """What a mail server gets, which the Airflow connection smtp_default leads to."""
    with mail_server() as (connection, received):
        monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", connection)
        yield received


def test_it_is_sent_to_all_recipients(location: str, mails: Mails) -> None:
    settings = Settings(insights_email_to="a@example.org, b@example.org")
    assert send_report(location, {"period": "30d"}, settings) == ["a@example.org", "b@example.org"]
    [(recipients, mail)] = mails
    assert recipients == ["a@example.org", "b@example.org"]
    assert mail["subject"] == "Insights, 2 Dec to 31 Dec 2019"
    part = mail.get_body(("html",))
    assert part is not None
    assert "Key figures" not in part.get_content()
    assert "Open Insights" in part.get_content()


def test_without_recipients_nothing_is_sent(location: str, mails: Mails) -> None:
    assert send_report(location, {}, Settings(insights_email_to="")) == []
    assert mails == []


@pytest.mark.parametrize(
    ("first", "last", "label"),
    [
        ("", "", "3 Oct to 31 Dec 2019"),
        ("2019-12-01", "", "1 Dec to 31 Dec 2019"),
        ("", "2019-06-30", "1 Jun to 30 Jun 2019"),
        ("", "2019-01-10", "1 Jan to 10 Jan 2019"),
        ("2019-03-01", "2019-03-31", "1 Mar to 31 Mar 2019"),
    ],
)
def test_a_run_delivers_the_report_of_its_days(
    tmp_path: Path, mails: Mails, first: str, last: str, label: str
) -> None:
    location = write_snapshot(tmp_path)
    found = deliver(location, {"from_day": first, "to_day": last, "send": False})
    assert found == {"report": f"{location}/{REPORT}", "recipients": 0}
    assert f"<h1>Insights, {label}</h1>" in Path(found["report"]).read_text(encoding="utf-8")
    assert mails == []


def test_a_run_sends_the_report_if_it_is_asked_to(
    tmp_path: Path, mails: Mails, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INSIGHTS_EMAIL_TO", "a@example.org")
    get_settings.cache_clear()
    found = deliver(write_snapshot(tmp_path), {"from_day": "2019-12-01", "to_day": "", "send": True})
    monkeypatch.undo()
    get_settings.cache_clear()
    assert found["recipients"] == 1
    assert [mail["subject"] for _, mail in mails] == ["Insights, 1 Dec to 31 Dec 2019"]
