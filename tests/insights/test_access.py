"""Who may see what, in Airflow's own application with the plugin: every route, by every kind of user."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow import plugins_manager, settings
from airflow.api_fastapi.app import create_app, get_auth_manager, purge_cached_app
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.models.log import Log
from airflow.utils.db import initdb
from airflow.utils.session import create_session
from fastapi.testclient import TestClient
from starlette.routing import Mount

from include.insights.page import MAKERS, NAMES_CUSTOMERS
from include.insights.web import HEADERS, STATIC
from include.settings import PROJECT_ROOT, get_settings

PATHS = [
    "/",
    "/?period=30d&compare=1",
    *(f"/csv/{name}" for name in MAKERS),
    "/audience?audience=at-risk",
    "/live",
    *(f"/static/{name}" for name in STATIC),
    "/static/../web.py",
    "/nothing/here",
]
NEEDS_EDIT = [*(f"/csv/{name}" for name in NAMES_CUSTOMERS), "/audience?audience=at-risk&target=generic"]


@pytest.fixture(scope="module")
def airflow(location: str) -> Iterator[TestClient]:
    """Airflow's api-server with our plugins, and our page on the snapshot."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INSIGHTS_LOCATION", location)
        patch.setenv(
            "AIRFLOW__API_AUTH__JWT_SECRET",
            "a secret of these tests that is long enough for HS512, all 64 bytes of it",
        )
        patch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS", "ada:viewer,eve:user,bob:admin")
        patch.setattr(settings, "PLUGINS_FOLDER", str(PROJECT_ROOT / "plugins"))
        get_settings.cache_clear()
        plugins_manager._get_plugins.cache_clear()
        plugins_manager.get_fastapi_plugins.cache_clear()
        initdb()
        purge_cached_app()
        try:
            with TestClient(create_app("core"), base_url="http://testserver") as client:
                yield client
        finally:
            purge_cached_app()
            get_settings.cache_clear()
            plugins_manager._get_plugins.cache_clear()
            plugins_manager.get_fastapi_plugins.cache_clear()


def token(name: str, role: str | None) -> dict[str, str]:
    user: Any = SimpleAuthManagerUser(username=name, role=role)
    return {"Authorization": f"Bearer {get_auth_manager().generate_jwt(user)}"}


def ours(airflow: TestClient) -> list[Any]:
    app: Any = airflow.app
    return [route for route in app.routes if isinstance(route, Mount) and route.path == "/insights"]


def test_every_route_asks_for_a_login(airflow: TestClient) -> None:
    """All that are registered, whatever their method, and what is mounted below."""
    [mount] = ours(airflow)
    walked = 0
    for route in mount.routes:
        assert not isinstance(route, Mount), "a mounted application is not behind the login"
        for method in route.methods:
            path = re.sub(r"\{[^}]+\}", "page.js", route.path)
            answer = airflow.request(method, f"/insights{path}")
            assert answer.status_code == 401, (method, route.path)
            walked += 1
    assert walked > 10


@pytest.mark.parametrize("path", PATHS)
def test_without_a_login_there_is_nothing(airflow: TestClient, path: str) -> None:
    answer = airflow.get(f"/insights{path}")
    assert answer.status_code == 401
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS


@pytest.mark.parametrize("path", PATHS)
def test_a_wrong_token_and_a_user_without_a_role_get_nothing(airflow: TestClient, path: str) -> None:
    assert airflow.get(f"/insights{path}", headers={"Authorization": "Bearer nonsense"}).status_code == 403
    assert airflow.get(f"/insights{path}", headers=token("mallory", None)).status_code == 403


def test_a_browser_without_a_login_reads_what_to_do(airflow: TestClient) -> None:
    answer = airflow.get("/insights/", headers={"accept": "text/html"})
    assert answer.status_code == 401
    assert "Log in to Airflow" in answer.text


def test_a_viewer_reads_figures_and_no_customer(airflow: TestClient) -> None:
    viewer = token("ada", "VIEWER")
    page = airflow.get("/insights/", headers=viewer)
    assert page.status_code == 200
    assert "Key figures" in page.text
    assert "seeing it needs the right to edit" in page.text
    assert 'id="section-audiences"' not in page.text
    for name in MAKERS.keys() - NAMES_CUSTOMERS:
        answer = airflow.get(f"/insights/csv/{name}", headers=viewer)
        assert answer.status_code == 200, name
        assert "customer_id" not in answer.text
    for path in NEEDS_EDIT:
        assert airflow.get(f"/insights{path}", headers=viewer).status_code == 403, path


def exports() -> list[tuple[str | None, str | None]]:
    with create_session() as session:
        rows = session.query(Log).filter(Log.event == "insights export").order_by(Log.id).all()
        return [(row.owner, row.extra) for row in rows]


def test_who_may_edit_sees_customers_and_each_export_is_logged(airflow: TestClient) -> None:
    editor = token("eve", "USER")
    page = airflow.get("/insights/", headers=editor)
    assert 'id="section-audiences"' in page.text
    before = len(exports())
    for path in NEEDS_EDIT:
        answer = airflow.get(f"/insights{path}", headers=editor)
        assert answer.status_code == 200, path
        assert "customer_id" in answer.text
        assert answer.headers["content-disposition"].startswith("attachment; filename=")
    logged = exports()[before:]
    assert [owner for owner, _ in logged] == ["eve"] * len(NEEDS_EDIT)
    assert "at_risk_customers" in str(logged[0][1])
    assert "audience at-risk for generic, 55 rows" in str(logged[-1][1])


def test_a_refused_export_is_not_logged_as_one(airflow: TestClient) -> None:
    before = exports()
    airflow.get("/insights/audience?audience=at-risk", headers=token("ada", "VIEWER"))
    airflow.get("/insights/audience?audience=nobody", headers=token("eve", "USER"))
    assert exports() == before


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_nothing_can_be_changed(airflow: TestClient, method: str) -> None:
    for path in ("/", "/csv/segments", "/live", "/audience"):
        answer = airflow.request(method, f"/insights{path}", headers=token("bob", "ADMIN"))
        assert answer.status_code in {404, 405}


def test_every_answer_has_the_headers(airflow: TestClient) -> None:
    for path in PATHS:
        answer = airflow.get(f"/insights{path}", headers=token("bob", "ADMIN"))
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS, path
        assert "unsafe" not in answer.headers["content-security-policy"]


def test_the_cookie_of_airflows_own_login_works(airflow: TestClient) -> None:
    jwt = token("bob", "ADMIN")["Authorization"].removeprefix("Bearer ")
    airflow.cookies.set("_token", jwt)
    try:
        assert airflow.get("/insights/").status_code == 200
    finally:
        airflow.cookies.clear()


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/?period=custom&first=2019-02-30&last=2019-03-01", 400, "is no date as in 2019-12-31"),
        ("/?period=%3Cscript%3E", 400, "There is no period"),
        ("/csv/segments?period=custom&first=2018-01-01&last=2019-01-01", 400, "The data holds"),
        ("/csv/passwd", 404, "There is no such"),
        ("/static/..%2fweb.py", 404, "There is no such"),
        ("/audience?audience=nobody", 404, "There is no such page"),
    ],
)
def test_what_is_not_there_is_said_in_a_sentence(
    airflow: TestClient, path: str, status: int, said: str
) -> None:
    answer = airflow.get(f"/insights{path}", headers={**token("bob", "ADMIN"), "accept": "text/html"})
    assert answer.status_code == status
    assert said in answer.text
    assert "<script>" not in answer.text


def test_without_a_snapshot_it_says_what_makes_one(
    airflow: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INSIGHTS_LOCATION", str(tmp_path))
    get_settings.cache_clear()
    try:
        answer = airflow.get("/insights/", headers=token("bob", "ADMIN"))
    finally:
        monkeypatch.undo()
        get_settings.cache_clear()
    assert answer.status_code == 503
    assert "marketing_insights" in answer.text


def test_airflow_knows_the_views_of_the_plugin(airflow: TestClient) -> None:
    bob = token("bob", "ADMIN")
    assert airflow.get("/api/v2/plugins/importErrors", headers=bob).json()["import_errors"] == []
    plugins = airflow.get("/api/v2/plugins", headers=bob).json()["plugins"]
    [views] = [one["external_views"] for one in plugins if one["name"] == "insights"]
    assert [(view["href"], view.get("url_route"), view.get("nav_top_level")) for view in views] == [
        ("insights/", "insights", True),
        ("insights/", None, False),
    ]


@pytest.mark.slow
def test_the_plugin_makes_no_application_before_the_first_request() -> None:
    """Plugins load in every process: a worker needs neither FastAPI nor the snapshot."""
    import subprocess
    import sys

    code = (
        "import sys; sys.path.insert(0, 'plugins'); import insights;"
        "print([m for m in ('include.insights.web', 'include.insights.access', 'jinja2.environment') if m"
        " in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert json.loads(done.stdout.splitlines()[-1].replace("'", '"')) in ([], ["jinja2.environment"])
