"""Listening, and ending well.

In: an app and its settings. Out: a process that serves until SIGTERM or Ctrl-C. Then /ready and new requests get
503, what runs may finish within `drain_timeout_s`, and a second signal ends it at once.
"""

import getpass
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from types import FrameType

import uvicorn
from fastapi import FastAPI

from ivl.errors import SettingsError
from ivl.server.connection import Connection
from ivl.server.front import MAX_HEAD_BYTES
from ivl.server.heap import Pace, loaded, trimmer
from ivl.server.settings import ServerSettings
from ivl.server.state import State

_KEEP_ALIVE_S = 75
"""Longer than clients keep idle connections: who closes first decides whether a request can be lost between the two."""
_LAST_WORDS_S = 5
"""For answers that were stopped to tell so."""

_TRIM_EVERY_S = 5.0


class Server(uvicorn.Server):
    """Uvicorn's server, but for how it ends."""

    def __init__(self, app: FastAPI, settings: ServerSettings, has_begun: Callable[[], None] = lambda: None) -> None:
        """has_begun: called once when clients can connect."""
        super().__init__(
            uvicorn.Config(
                app,
                http=Connection,
                ws="none",
                log_config=None,
                log_level="critical",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=_LAST_WORDS_S,
                h11_max_incomplete_event_size=MAX_HEAD_BYTES,
            )
        )
        self._state: State = app.state.ivl
        self._settings = settings
        self._deadline: float | None = None
        self._has_begun = has_begun
        self._trim = trimmer()
        self._pace = Pace(_TRIM_EVERY_S)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._has_begun()

    def drain(self) -> None:
        """Take no more requests and end when the running ones have. Called again: end now."""
        if self._deadline is None:
            self._state.is_draining = True
            self._deadline = time.monotonic() + self._settings.drain_timeout_s
        else:
            self._deadline = 0.0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal has come. Uvicorn's own way would close the door to /ready and raise the signal again."""
        self.drain()

    async def on_tick(self, counter: int) -> bool:
        """Whether to end now; asked ten times a second."""
        if await super().on_tick(counter):
            return True
        if self._pace.is_due(self._state.metrics.requests.total()):
            self._state.threads.submit(self._trim)
        if self._deadline is None:
            return False
        if self._state.running and time.monotonic() < self._deadline:
            return False
        for request in list(self._state.running):
            request.stop()
        return True


def bind(settings: ServerSettings) -> socket.socket:
    """A socket that holds the address, before the model is loaded. Raises SettingsError where that cannot be."""
    host, port = settings.host, settings.port
    with ExitStack() as stack:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            family, kind, _, _, address = found[0]
            # With the protocol named: asyncio turns Nagle's delay (40 ms for each answer) off only for such sockets.
            listener = stack.enter_context(socket.socket(family, kind, socket.IPPROTO_TCP))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except OSError as error:
            reason = error.strerror or "no such address"
            raise SettingsError(f"{host} port {port} cannot be listened on: {reason}; choose another") from error
        stack.pop_all()
    return listener


def serve(app: FastAPI, settings: ServerSettings, listener: socket.socket, tell: Callable[[str], None]) -> None:
    """Answer on a socket that `bind` made until told to end. tell: gets the lines that say how to reach the server."""

    def has_begun() -> None:
        for line in how_to_reach(settings, listener.getsockname()[1]):
            tell(line)

    try:
        with loaded():
            Server(app, settings, has_begun).run(sockets=[listener])
    finally:
        app.state.ivl.threads.shutdown(wait=False, cancel_futures=True)


def how_to_reach(settings: ServerSettings, port: int) -> list[str]:
    """Where the server listens, and from another computer the command that leads there."""
    shown = f"[{settings.host}]" if ":" in settings.host else settings.host
    name, user = socket.gethostname(), "USER"
    with suppress(OSError, KeyError, ImportError):
        user = getpass.getuser()
    if not settings.is_local:
        is_everywhere = settings.host in ("0.0.0.0", "::")  # noqa: S104 - a comparison
        return [f"listening on http://{name if is_everywhere else shown}:{port} for every machine that reaches it"]
    return [
        f"listening on http://{shown}:{port} (OpenAI's base_url: http://{shown}:{port}/v1)",
        f"from another computer: ssh -N -L {port}:{shown}:{port} {user}@{name}, then the same address there",
    ]
