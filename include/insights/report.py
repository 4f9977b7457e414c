"""The blocks of the page as one HTML file, and as the body of an e-mail: figures only, nobody's rows.

`python -m include.insights.report` writes the file for the newest snapshot (`make report`).
"""

import base64
import hashlib
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Annotated, Any

import typer
from markupsafe import Markup

from include.insights.block import Context
from include.insights.page import aggregates, made
from include.insights.period import CUSTOM, DEFAULT, PeriodError, period_of
from include.insights.snapshot import Snapshot, SnapshotError, latest, report_place
from include.insights.web import static, templates
from include.orchestration.ui import address_of
from include.settings import Settings, get_settings, run_command
from include.storage import open_folder, replace_file

DAYS = 30  # of a run that names its last day only
SCRIPTS = ("theme.js", "echarts.js", "page.js")


def write_report(
    location: str,
    asked: Mapping[str, str] | None = None,
    to: str | None = None,
    settings: Settings | None = None,
) -> str:
    """Write the report of a location's newest snapshot and return where it is.

    asked: the period, as the page's address has it (`period`, `first`, `last`, `compare`).
    to: a file or URI; default: report.html beside the snapshots. Raises NoSnapshotError and PeriodError.
    """
    context = context_of(location, asked or {}, settings or get_settings())
    text = render(context)
    place = open_folder(to or report_place(location))
    place.parent.mkdir(parents=True, exist_ok=True)
    replace_file(place, text.encode())
    return str(place)


def context_of(location: str, asked: Mapping[str, str], settings: Settings) -> Context:
    """Return the newest snapshot with the period that is asked for."""
    snapshot = latest(location)
    return Context(
        snapshot, period_of(asked, snapshot.first_day, snapshot.last_day), settings.insights_currency
    )


def render(context: Context) -> str:
    """Return the report: it loads nothing, and runs no script but the three that stand in it."""
    scripts = [static(name).decode() for name in SCRIPTS]
    style = static("page.css").decode()
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src"
        f" {' '.join(map(_hash, scripts))}; base-uri 'none'; form-action 'none'"
    )
    return (
        templates()
        .get_template("report.html")
        .render(
            context=context,
            snapshot=context.snapshot,
            period=context.period,
            currency=context.currency,
            sections=aggregates(context),
            policy=policy,
            style=Markup(style),  # noqa: S704 (our own files)
            scripts=[Markup(script) for script in scripts],  # noqa: S704
        )
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def link_to(context: Context) -> str:
    """Return the address of the page with the period, in a tab of its own."""
    return address_of(f"insights/?{context.period.query()}")


def mail_body(context: Context) -> str:
    """Return the e-mail: key figures, sentences and a link, without scripts, pictures and customers."""
    return (
        templates()
        .get_template("mail.html")
        .render(
            context=context,
            snapshot=context.snapshot,
            period=context.period,
            kpis=made(context, "kpis"),
            changes=made(context, "changes"),
            link=link_to(context),
        )
    )


def send_report(
    location: str, asked: Mapping[str, str] | None = None, settings: Settings | None = None
) -> list[str]:
    """Send the e-mail to INSIGHTS_EMAIL_TO through the connection `smtp_default`; return the recipients.

    Without recipients nothing is sent. Raises what the mail server's client raises.
    """
    settings = settings or get_settings()
    recipients = [one.strip() for one in settings.insights_email_to.split(",") if one.strip()]
    if not recipients:
        return []
    from airflow.providers.smtp.hooks.smtp import SmtpHook  # noqa: PLC0415 (slow, and mostly not needed)

    context = context_of(location, asked or {}, settings)
    subject = f"Insights, {context.period.label}"
    with SmtpHook() as smtp:
        smtp.send_email_smtp(to=recipients, subject=subject, html_content=mail_body(context))
    return recipients


def deliver(location: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Write a run's report and, if it says so, send the e-mail; return where it is and to how many it went.

    params: the run's `from_day`, `to_day` and `send`. Without days the report is of the page's own period;
    without the first, of the 30 days up to the last.
    """
    asked = _asked(params, latest(location))
    where = write_report(location, asked)
    return {"report": where, "recipients": len(send_report(location, asked)) if params["send"] else 0}


def _asked(params: Mapping[str, Any], snapshot: Snapshot) -> dict[str, str]:
    if not params["from_day"] and not params["to_day"]:
        return {}
    last = date.fromisoformat(params["to_day"]) if params["to_day"] else snapshot.last_day
    usual = max(snapshot.first_day, last - timedelta(days=DAYS - 1))
    first = date.fromisoformat(params["from_day"]) if params["from_day"] else usual
    return {"period": CUSTOM, "first": str(first), "last": str(last), "compare": "1"}


def main(
    period: Annotated[str, typer.Option(help="7d, 30d, 90d, 365d, all or custom.")] = DEFAULT,
    first: Annotated[str, typer.Option(help="First day, with --period custom.")] = "",
    last: Annotated[str, typer.Option(help="Last day, with --period custom.")] = "",
    compare: Annotated[bool, typer.Option(help="Compare with the period before.")] = True,
    to: Annotated[str, typer.Option(help="File; default: report.html beside the snapshots.")] = "",
) -> None:
    """Write the report of the newest snapshot as one HTML file."""
    settings = get_settings()
    asked = {"period": period, "first": first, "last": last, "compare": "1" if compare else "0"}
    try:
        where = write_report(settings.insights_location, asked, to or None, settings)
    except (SnapshotError, PeriodError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    typer.echo(where)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    run_command(app)
