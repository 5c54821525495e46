"""The page inside an ASGI app: below a path of the API's server, or alone.

In: an app, models. Out: the app with the page before it. Knows no sockets.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from ivl.server.keys import Keys
from ivl.ui.assets import styles
from ivl.ui.foods import Cuisine
from ivl.ui.front import App, Front, Receive, Scope, Send
from ivl.ui.models import Models
from ivl.ui.page import build_page
from ivl.ui.theme import theme
from ivl.ui.visitors import Visitors


def mount(
    app: Any,
    models: Models,
    *,
    path: str = "/ui",
    keys: Keys | None = None,
    cuisines: Sequence[Cuisine] | None = None,
    visitors: Visitors | None = None,
) -> Front:
    """Put the page at `path` of a FastAPI app that has not started, before all of its own middleware.

    The page has its own door: the same hosts and origins as `models.settings`, and where there are keys, one as the
    browser's password. path: "" or begins with "/" and ends without. Gives the door. Raises DataError for bad dishes.
    """
    forbid_calls_home()
    page = build_page(models, cuisines, visitors)
    page.queue(max_size=models.settings.capacity, default_concurrency_limit=None, api_open=False)
    gr.mount_gradio_app(
        app, page, path or "/", footer_links=[], run_history=False, show_error=False, ssr_mode=False,
        enable_monitoring=False, mcp_server=False, pwa=False, allowed_paths=[], theme=theme(), css=styles(),
        app_kwargs={"docs_url": None, "redoc_url": None, "openapi_url": None},
    )  # fmt: skip
    mounted = app.router.routes.pop()
    models.host = getattr(app.state, "ivl", None)  # the API's server, where it is one
    front = Front(mounted.app, models.settings, keys, path)
    app.add_middleware(Fork, front=front, path=path)
    return front


class Fork:
    """Sends what lies below the page's path to the page, all else to the app."""

    def __init__(self, app: App, front: Front, path: str) -> None:
        self._app, self._front, self._path = app, front, path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["path"] == self._path and self._path:
            location = [(b"location", f"{self._path}/".encode()), (b"content-length", b"0")]
            await send({"type": "http.response.start", "status": 307, "headers": location})
            await send({"type": "http.response.body", "body": b""})
        elif scope["path"].startswith(f"{self._path}/"):
            root = scope.get("root_path", "")
            await self._front({**scope, "root_path": root + self._path, "app_root_path": root}, receive, send)
        else:
            await self._app(scope, receive, send)


def forbid_calls_home(environment: Mapping[str, str] | None = None) -> None:
    """Tell Gradio to count nobody, whatever the environment says, and to keep its files in a folder of its own."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ.setdefault("GRADIO_TEMP_DIR", str(Path(tempfile.gettempdir()) / f"ivl-ui-{os.getpid()}"))
