"""Listening: the page alone, until Ctrl-C or SIGTERM.

In: models and settings. Out: a process that serves. Knows no pages.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import gradio as gr
import uvicorn

from ivl.errors import InputError, SettingsError
from ivl.server.keys import Keys
from ivl.server.settings import ServerSettings
from ivl.session import Pipeline, pipeline
from ivl.types import EngineConfig
from ivl.ui.foods import Cuisine
from ivl.ui.models import Models
from ivl.ui.mounting import mount

_LAST_WORDS_S = 3


@contextmanager
def load_models(
    models: Sequence[str | None],
    adapters: Mapping[str, str | Path],
    engine_config: EngineConfig,
    settings: ServerSettings,
    *,
    as_viewed: bool = True,
    max_tiles: int | None = None,
) -> Iterator[Models]:
    """Models by the names of their folders or their hub ids; the adapters are the first one's. Raises SettingsError."""
    with ExitStack() as stack:
        pipes: dict[str, Pipeline] = {}
        for model in models:
            own = adapters if not pipes else None
            pipe = pipeline(
                model, adapter=own or None, engine_config=engine_config, as_viewed=as_viewed, max_tiles=max_tiles
            )
            stack.enter_context(pipe)
            name = model if model and not Path(model).is_dir() else pipe.folder.resolve().name
            if name in pipes:
                raise SettingsError(f"two models are called {name!r}: give one folder another name")
            pipes[name] = pipe
        yield Models.of(pipes, tuple(adapters), settings)


def page_app(models: Models, keys: Keys | None = None, cuisines: Sequence[Cuisine] | None = None) -> gr.Server:
    """An app that is the page; `app.state.front` is its door."""
    app = gr.Server(docs_url=None, redoc_url=None, openapi_url=None)
    app.state.front = mount(app, models, path="", keys=keys, cuisines=cuisines)
    return app


class PageServer(uvicorn.Server):
    """Uvicorn's server as a page needs it."""

    def __init__(self, app: gr.Server) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http="h11",
                ws="none",
                log_config=None,
                log_level="critical",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=_LAST_WORDS_S,
                h11_max_incomplete_event_size=2**16,
            )
        )


def serve(app: gr.Server, listener: socket.socket, tell: Callable[[str], None], *, share: bool = False) -> None:
    """Serve on a bound socket until told to end. share: also through Gradio's public tunnel. Raises InputError."""
    if share:
        tell(f"PUBLIC: {open_tunnel(app, listener.getsockname()[1])} can be opened by everybody who learns of it")
    PageServer(app).run(sockets=[listener])


def open_tunnel(app: gr.Server, port: int) -> str:
    """A public address of Gradio's that leads to this port of this machine. Raises InputError where there is none."""
    from gradio.networking import setup_tunnel

    try:
        address = setup_tunnel("127.0.0.1", port, secrets.token_urlsafe(32), None, None)
    except Exception as error:
        raise InputError(f"no public address could be had: {error}") from error
    app.state.front.extra_hosts.add(address.rpartition("/")[2].lower())
    return address
