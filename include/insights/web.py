"""The page as a web application: server-rendered, read only, behind a login, with a strict content policy."""

import hashlib
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
from include.insights.page import MAKERS, NAMES_CUSTOMERS, sections
from include.insights.period import CUSTOM, PRESETS, Period, PeriodError, period_of
from include.insights.snapshot import Snapshot, SnapshotError, latest
from include.settings import Settings, get_settings

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


class Site:
    """What the addresses answer, behind the login, which leaves who asks in the request's state."""

    def __init__(
        self, record_export: Callable[[Reader, str], None], settings: Callable[[], Settings]
    ) -> None:
        self._record_export = record_export
        self._settings = settings
        self._pages = templates()

    def page(self, request: Request) -> Response:
        """Answer with the page."""
        context, who = self._context(request), request.state.reader
        return self._render(
            "page.html",
            context=context,
            snapshot=context.snapshot,
            period=context.period,
            currency=context.currency,
            presets=[
                (key, label, _other(context.period, key).query()) for key, (label, _) in PRESETS.items()
            ],
            custom=CUSTOM,
            query=context.period.query(),
            sections=sections(context, names_customers=who.may_export),
            live=live.of_snapshot(context.snapshot).as_json(),
            audiences=audiences.names(context.snapshot) if who.may_export else (),
            targets=audiences.TARGETS,
        )

    def csv(self, request: Request, name: str) -> Response:
        """Answer with a block's table as a file; one that names customers needs the right to edit."""
        if name not in MAKERS:
            raise HTTPException(404, "There is no such block.")
        who = request.state.reader
        if name in NAMES_CUSTOMERS and not who.may_export:
            raise HTTPException(403, NEEDS_EDIT)
        context = self._context(request, whole=True)
        block = MAKERS[name](context)  # a list of customers may be long: not kept in memory
        first, last = context.period.first, context.period.last
        self._record_export(who, f"block {name}, {first} to {last}, {len(block.rows)} rows")
        # With the mark at its start a spreadsheet reads UTF-8.
        return _download(block.csv().encode("utf-8-sig"), f"{name}_{first}_{last}.csv")

    def audience(self, request: Request, audience: str, target: str = "generic") -> Response:
        """Answer with an audience as a file for a tool."""
        who = request.state.reader
        if not who.may_export:
            raise HTTPException(403, NEEDS_EDIT)
        try:
            made = audiences.file(self._newest(), audience, target)
        except audiences.AudienceError as error:
            raise HTTPException(404, str(error)) from error
        self._record_export(who, f"audience {audience} for {target}, {made.rows} rows")
        return _download(made.text.encode(), made.name)

    def newest_values(self) -> Response:
        """Answer with the newest price and article."""
        return JSONResponse(live.newest(self._settings(), self._newest()).as_json())

    def static_file(self, name: str) -> Response:
        """Answer with a file of STATIC."""
        if name not in STATIC:
            raise HTTPException(404, "There is no such file.")
        return Response(static(name), media_type=STATIC[name][1])

    def nothing_else(self, path: str) -> Response:
        """Refuse: without this an unknown address would be answered before the login is looked at."""
        raise HTTPException(404, f"There is no page {path[:40]!r}.")

    def no_snapshot(self, request: Request, error: Exception) -> Response:
        """Answer that there is nothing to show yet."""
        return self._message(request, 503, "No insights yet", str(error))

    def no_period(self, request: Request, error: Exception) -> Response:
        """Answer what is wrong with the days that were asked for."""
        return self._message(request, 400, "No such period", str(error))

    def refused(self, request: Request, error: Exception) -> Response:
        """Answer a refusal, as a page where a browser asks."""
        status = error.status_code if isinstance(error, AnyHTTPException) else 500
        if "text/html" in request.headers.get("accept", ""):
            title, text = REFUSALS.get(status, ("This did not work", "Go back to Insights."))
            return self._message(request, status, title, text)
        return JSONResponse({"detail": getattr(error, "detail", "")}, status)

    def _render(self, name: str, status: int = 200, **values: Any) -> Response:
        return HTMLResponse(self._pages.get_template(name).render(version=version(), **values), status)

    def _message(self, request: Request, status: int, title: str, text: str) -> Response:
        below = request.url.path.removeprefix(request.scope.get("root_path", ""))
        return self._render(
            "message.html", status, root="../" * (below.count("/") - 1), title=title, text=text
        )

    def _newest(self) -> Snapshot:
        return latest(self._settings().insights_location)

    def _context(self, request: Request, *, whole: bool = False) -> Context:
        snapshot = self._newest()
        period = period_of(request.query_params, snapshot.first_day, snapshot.last_day)
        return Context(snapshot, period, self._settings().insights_currency, whole)


def create_app(
    reader: Callable[..., Reader],
    record_export: Callable[[Reader, str], None],
    settings: Callable[[], Settings] = get_settings,
) -> FastAPI:
    """Return the application.

    `reader` is a dependency of every route: it refuses who may not read, and returns who asks.
    `record_export` is told of each file that is downloaded.
    """

    def log_in(request: Request, who: Annotated[Reader, Depends(reader)]) -> None:
        request.state.reader = who

    site = Site(record_export, settings)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, dependencies=[Depends(log_in)])
    app.add_middleware(SecurityHeaders)
    app.add_exception_handler(SnapshotError, site.no_snapshot)
    app.add_exception_handler(PeriodError, site.no_period)
    app.add_exception_handler(AnyHTTPException, site.refused)
    app.add_api_route("/", site.page, methods=["GET"])
    app.add_api_route("/csv/{name}", site.csv, methods=["GET"])
    app.add_api_route("/audience", site.audience, methods=["GET"])
    app.add_api_route("/live", site.newest_values, methods=["GET"])
    app.add_api_route("/static/{name}", site.static_file, methods=["GET"])
    app.add_api_route("/{path:path}", site.nothing_else, methods=ALL_METHODS)
    return app


ALL_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
REFUSALS = {
    401: ("You are not logged in", "Log in to Airflow, then open Insights again."),
    403: ("You may not see this", "Ask who runs Airflow for access to the DAG marketing_insights."),
    404: ("There is no such page", "Insights has one page: go back to it."),
}


def _other(period: Period, preset: str) -> Period:
    """Return a period whose query asks for another preset with the same comparison."""
    return Period(preset, period.first, period.last, period.compares)


def _download(content: bytes, name: str) -> Response:
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type="text/csv; charset=utf-8", headers=headers)
