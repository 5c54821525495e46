"""The routes.

In: a pipeline, settings, keys. Out: an ASGI app. Knows no sockets: `run.py` listens.
"""

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TextIO

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from ivl._version import __version__
from ivl.server.answering import Answering
from ivl.server.chat import chat_job
from ivl.server.completions import completion_job
from ivl.server.errors import ApiError
from ivl.server.front import CHAT, COMPLETIONS, Front
from ivl.server.keys import Keys
from ivl.server.openapi import ABOUT, chat_body, completion_body, document, errors
from ivl.server.page import page
from ivl.server.record import RequestLog
from ivl.server.settings import ServerSettings
from ivl.server.state import State
from ivl.session import Pipeline

_NO_SCRIPTS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
_NOT_READY: dict[int | str, dict[str, Any]] = {503: {"description": "Not now."}}
_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def create_app(
    pipe: Pipeline, settings: ServerSettings, keys: Keys | None = None, log: TextIO | None = None
) -> FastAPI:
    """An app that answers with `pipe`, whose adapters have the names in `settings.adapters`.

    keys: who may ask; None: everybody. log: where a line of JSON for each request goes; None: nowhere.
    `app.state.ivl` is the `State` that its requests share. Raises SettingsError where strangers could ask.
    """
    keys = keys or Keys()
    settings.check_keys(len(keys) > 0)
    state = State(pipe=pipe, settings=settings, keys=keys, log=RequestLog(log))
    app = FastAPI(
        title="ivl", version=__version__, description=ABOUT, docs_url=None, redoc_url=None, openapi_url=None,
        redirect_slashes=False,
    )  # fmt: skip
    app.state.ivl = state
    answers = {CHAT: partial(Answering, state, chat_job), COMPLETIONS: partial(Answering, state, completion_job)}
    app.add_middleware(Front, state=state, answers=answers)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
            expose_headers=["X-Request-Id", "Retry-After"],
        )
    app.add_exception_handler(HTTPException, _no_such_route)
    _add_answers(app, answers)
    _add_models(app, state)
    _add_health(app, state)
    _add_about(app)
    return app


def _add_answers(app: FastAPI, answers: Mapping[str, Callable[[], Response]]) -> None:
    """For the document, and for whoever asks by another method: `Front` makes these answers itself."""

    @app.post(CHAT, tags=["answers"], openapi_extra=chat_body())
    async def chat_completions() -> Response:
        """Answer a conversation about texts and pictures."""
        return answers[CHAT]()

    @app.post(COMPLETIONS, tags=["answers"], openapi_extra=completion_body())
    async def completions() -> Response:
        """Go on with a text."""
        return answers[COMPLETIONS]()


def _add_models(app: FastAPI, state: State) -> None:
    created = int(time.time())

    def told(name: str) -> dict[str, Any]:
        base = state.settings.name
        return {
            "id": name,
            "object": "model",
            "created": created,
            "owned_by": "ivl",
            "parent": None if name == base else base,
            "max_model_len": state.pipe.session_len,
        }

    @app.get("/v1/models", tags=["models"])
    async def models() -> dict[str, Any]:
        """The base model and the adapters."""
        names = (state.settings.name, *state.settings.adapters)
        return {"object": "list", "data": [told(name) for name in names]}

    @app.get("/v1/models/{model:path}", tags=["models"], openapi_extra={"responses": errors("404")})
    async def model(model: str) -> dict[str, Any]:
        """One of them."""
        return told(state.adapter(model)[0])


def _add_health(app: FastAPI, state: State) -> None:
    def told(is_good: bool, word: str, headers: Mapping[str, str] | None = None) -> Response:
        return JSONResponse({"status": word}, 200 if is_good else 503, headers)

    @app.get("/health", tags=["health"], responses=_NOT_READY)
    async def health() -> Response:
        """Whether the engine runs."""
        return told(state.is_alive, "ok" if state.is_alive else "the engine has failed")

    @app.get("/ready", tags=["health"], responses=_NOT_READY)
    async def ready() -> Response:
        """Whether requests are taken."""
        word = "draining" if state.is_draining else "ready" if state.is_alive else "the engine has failed"
        return told(word == "ready", word)

    @app.get("/metrics", tags=["health"], response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Counts and times for Prometheus."""
        held = (state.gate.num_answers, state.bodies.held, state.tiles.held)
        text = state.metrics.text(state.pipe.stats, *held, state.is_draining)
        return Response(text, media_type=_METRICS_TYPE)


def _add_about(app: FastAPI) -> None:
    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> dict[str, Any]:
        return document(app)

    @app.get("/", include_in_schema=False)
    async def about() -> Response:
        return HTMLResponse(page(document(app)), headers=_NO_SCRIPTS)


async def _no_such_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException), f"{type(error).__name__} is handled as one of HTTP's"
    told = ApiError(404, "there is no such route here: GET / lists them", code="unknown_url")
    if error.status_code == 405:
        told = ApiError(405, "this route does not take this method: GET / lists them", code="method_not_allowed")
    return JSONResponse(told.body, told.status, error.headers)
