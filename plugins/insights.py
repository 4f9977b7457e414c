"""Shows the insights in Airflow's own UI."""

from functools import cached_property
from typing import Any

from airflow.plugins_manager import AirflowPlugin


class LazyApp:
    """The page's application, made on its first request: plugins load in every process, workers too."""

    @cached_property
    def app(self) -> Any:
        """Return the application."""
        from include.insights.access import reader, record_export  # noqa: PLC0415
        from include.insights.web import create_app  # noqa: PLC0415

        return create_app(reader, record_export)

    @property
    def routes(self) -> list[Any]:
        """Return its routes, as an application's mount shows them."""
        return list(self.app.routes)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve a request."""
        await self.app(scope, receive, send)


class InsightsPlugin(AirflowPlugin):
    """The page in a frame at the top of the navigation, and in a tab of its own."""

    name = "insights"
    fastapi_apps = [{"app": LazyApp(), "url_prefix": "/insights", "name": "Insights"}]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {
            "name": "Insights",
            "href": "insights/",
            "destination": "nav",
            "url_route": "insights",
            "icon": "insights/static/icon.svg",
            "icon_dark_mode": "insights/static/icon-dark.svg",
            "nav_top_level": True,
        },
        {"name": "Insights in a tab", "href": "insights/", "destination": "nav", "category": "browse"},
    ]
