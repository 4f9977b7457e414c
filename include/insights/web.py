"""The page as a web application: server-rendered, read only, behind a login, with a strict content policy."""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from jinja2 import Environment, PackageLoader
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from include.insights import audiences, live
from include.insights.block import Context
from include.insights.formats import shown
from include.insights.page import MAKERS, NAMES_CUSTOMERS, made, sections
from include.insights.period import CUSTOM, PRESETS, Period, PeriodError, period_of
from include.insights.snapshot import NoSnapshotError, Snapshot, latest
from include.settings import Settings, get_settings

log = logging.getLogger(__name__)

HEADERS = {
    # Everything comes from here; no script or style stands in a page, so what data holds cannot be one.
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
        " form-action 'self'; frame-ancestors 'self'; base-uri 'none'"
    ),
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}
STATIC = {
    "echarts.js": ("echarts/echarts.common.min.js", "text/javascript"),
    "page.js": ("page.js", "text/javascript"),
    "theme.js": ("theme.js", "text/javascript"),
    "page.css": ("page.css", "text/css"),
    "icon.svg": ("icon.svg", "image/svg+xml"),
    "icon-dark.svg": ("icon-dark.svg", "image/svg+xml"),
}
NEEDS_EDIT = "Rows of customers need the right to edit the DAG marketing_insights."


@dataclass(frozen=True)
class Reader:
    """Who asks: a name for the log, and whether customers' rows may be seen and exported."""

    name: str
    may_export: bool


class SecurityHeaders:
    """Adds HEADERS to every answer, errors included."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self.app(scope, receive, with_headers)


def templates() -> Environment:
    """Return the templates, which escape every value."""
    environment = Environment(
        loader=PackageLoader("include.insights"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["shown"] = shown
    return environment


@lru_cache
def static(name: str) -> bytes:
    """Return a static file of STATIC."""
    return (files("include.insights") / "static" / STATIC[name][0]).read_bytes()


@lru_cache
def version() -> str:
    """Return a name for the static files' content, so that a browser takes no older ones."""
    return hashlib.sha256(b"".join(static(name) for name in sorted(STATIC))).hexdigest()[:12]


def create_app(
    reader: Callable[..., Reader],
    record_export: Callable[[Reader, str], None],
    settings: Callable[[], Settings] = get_settings,
) -> FastAPI:
    """Return the application.

    `reader` is a dependency of every route: it refuses who may not read, and returns who asks.
    `record_export` is told of each file that is downloaded.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, dependencies=[Depends(reader)])
    app.add_middleware(SecurityHeaders)
    pages = templates()
    who_asks = Annotated[Reader, Depends(reader)]

    def render(name: str, status: int = 200, **values: Any) -> HTMLResponse:
        return HTMLResponse(pages.get_template(name).render(version=version(), **values), status)

    def newest() -> Snapshot:
        return latest(settings().insights_location)

    def context_of(request: Request, *, whole: bool = False) -> Context:
        snapshot = newest()
        period = period_of(request.query_params, snapshot.first_day, snapshot.last_day)
        return Context(snapshot, period, settings().insights_currency, whole)

    @app.exception_handler(NoSnapshotError)
    def no_snapshot(_request: Request, error: NoSnapshotError) -> Response:
        return render("message.html", 503, title="No insights yet", text=str(error))

    @app.exception_handler(PeriodError)
    def no_period(_request: Request, error: PeriodError) -> Response:
        return render("message.html", 400, title="No such period", text=str(error))

    @app.exception_handler(AnyHTTPException)
    def refused(request: Request, error: AnyHTTPException) -> Response:
        if "text/html" in request.headers.get("accept", ""):
            title, text = REFUSALS.get(error.status_code, (str(error.detail), ""))
            return render("message.html", error.status_code, title=title, text=text)
        return JSONResponse({"detail": error.detail}, error.status_code)

    @app.get("/", response_class=HTMLResponse)
    def page(request: Request, who: who_asks) -> Response:
        context = context_of(request)
        return render(
            "page.html",
            **_page_values(context, who),
            sections=sections(context, names_customers=who.may_export),
            live=live.of_snapshot(context.snapshot).as_json(),
            audiences=audiences.names(context.snapshot) if who.may_export else (),
            targets=audiences.TARGETS,
        )

    @app.get("/csv/{name}")
    def csv(request: Request, name: str, who: who_asks) -> Response:
        if name not in MAKERS:
            raise HTTPException(404, "There is no such block.")
        if name in NAMES_CUSTOMERS and not who.may_export:
            raise HTTPException(403, NEEDS_EDIT)
        context = context_of(request, whole=True)
        block = made.__wrapped__(context, name)  # a list of customers may be long: not kept
        record_export(who, f"block {name}, {context.period.first} to {context.period.last}, {len(block.rows)} rows")
        file = f"{name}_{context.period.first}_{context.period.last}.csv"
        return _download(block.csv(), file)

    @app.get("/audience")
    def audience(who: who_asks, audience: str, target: str = "generic") -> Response:
        if not who.may_export:
            raise HTTPException(403, NEEDS_EDIT)
        try:
            made_file = audiences.file(newest(), audience, target)
        except audiences.AudienceError as error:
            raise HTTPException(404, str(error)) from error
        record_export(who, f"audience {audience} for {target}, {made_file.rows} rows")
        return _download(made_file.text, made_file.name)

    @app.get("/live")
    def newest_values() -> Response:
        return JSONResponse(live.newest(settings(), newest()).as_json())

    @app.get("/static/{name}")
    def static_file(name: str) -> Response:
        if name not in STATIC:
            raise HTTPException(404, "There is no such file.")
        return Response(static(name), media_type=STATIC[name][1])

    @app.api_route("/{path:path}", methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
    def nothing_else(path: str) -> Response:
        # Without it an unknown address would be answered before the login is looked at.
        raise HTTPException(404, "There is no such page.")

    return app


REFUSALS = {
    401: ("You are not logged in", "Log in to Airflow, then open Insights again."),
    403: ("You may not see this", "Ask who runs Airflow for access to the DAG marketing_insights."),
    404: ("There is no such page", "Insights has one page: go back to it."),
}


def _page_values(context: Context, who: Reader) -> dict[str, Any]:
    period, snapshot = context.period, context.snapshot
    return {
        "context": context,
        "currency": context.currency,
        "snapshot": snapshot,
        "period": period,
        "presets": [(key, label, _other(period, key).query()) for key, (label, _) in PRESETS.items()],
        "custom": CUSTOM,
        "who": who,
        "query": period.query(),
    }


def _other(period: Period, preset: str) -> Period:
    """Return a period whose query asks for another preset with the same comparison."""
    return Period(preset, period.first, period.last, period.compares)


def _download(text: str, name: str) -> Response:
    # With the mark at its start a spreadsheet reads UTF-8.
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(text.encode("utf-8-sig"), media_type="text/csv; charset=utf-8", headers=headers)
