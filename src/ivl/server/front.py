"""The door: who may come in, what is written down of every request, and that nothing is told when our own code fails.

In: every HTTP request, before a route sees it. Out: the same with a Record, or a refusal. ASGI middleware.
"""

import json
import traceback
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from ivl.server.errors import ApiError, api_error
from ivl.server.limits import ClientGone, Receive
from ivl.server.record import Record
from ivl.server.state import State

Scope = MutableMapping[str, Any]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
_HEALTH = {"/health", "/ready"}
ROUTES = {"/", "/openapi.json", CHAT, COMPLETIONS, "/v1/models", "/metrics", *_HEALTH}
_MODEL = "/v1/models/"
MAX_HEAD_BYTES = 2**16


class Front:
    """Wraps the app."""

    def __init__(self, app: App, state: State, answers: Mapping[str, Callable[[], App]]) -> None:
        """answers: what is made for each POST to these paths. They are not sent through the framework's routing, which
        would take as long as reading such a request does."""
        self._app = app
        self._state = state
        self._answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        path = scope["path"]
        route = path if path in ROUTES else f"{_MODEL}{{model}}" if path.startswith(_MODEL) else "other"
        record = Record(method=scope["method"] if len(scope["method"]) < 10 else "other", route=route)
        scope["ivl.record"] = record

        async def noting_send(message: Any) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                message = {**message, "headers": [*message["headers"], (b"x-request-id", record.id.encode())]}
            await send(message)

        try:
            self._check(scope, record)
            make = self._answers.get(path) if scope["method"] == "POST" else None
            await (make() if make is not None else self._app)(scope, receive, noting_send)
        except ClientGone:
            record.finish, record.status = "disconnect", record.status or 499
        except Exception as error:
            refusal = api_error(error, is_alive=self._state.is_alive)
            record.error = refusal.code or ""
            if refusal.status == 500 and not isinstance(error, ApiError):
                record.error = _place(error)
            if not record.status:
                await send_error(noting_send, refusal)
        finally:
            self._note(record)

    def _check(self, scope: Scope, record: Record) -> None:
        """Raise ApiError for whoever may not come in."""
        if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEAD_BYTES:
            raise ApiError(431, f"the request's head is larger than {MAX_HEAD_BYTES} bytes", code="head_too_large")
        headers = dict(scope["headers"])
        record.key = self._state.keys.owner(headers.get(b"authorization", b"").decode("latin-1")) or ""
        is_open = self._state.settings.open_health and scope["path"] in _HEALTH
        if not record.key and not is_open:
            raise ApiError(401, "this needs an API key: send `Authorization: Bearer KEY`", code="invalid_api_key")
        host = headers.get(b"host", b"").decode("latin-1").lower()
        settings = self._state.settings
        if not settings.allows_host(host):
            raise ApiError(403, "the request's Host is not one of this server's", code="foreign_host")
        origin = headers.get(b"origin", b"").decode("latin-1").lower()
        own = {f"http://{host}", f"https://{host}"}
        if origin and origin not in own and origin not in {each.lower() for each in settings.cors_origins}:
            raise ApiError(403, "pages of this Origin may not ask this server", code="foreign_origin")

    def _note(self, record: Record) -> None:
        record.total_ms = round(1000 * record.age_s, 1)
        self._state.metrics.requests[record.route, record.status] += 1
        if record.n:
            self._state.metrics.total.observe(record.age_s)
        self._state.log.write(record)


async def send_error(send: Send, error: ApiError) -> None:
    """A whole answer that is an error."""
    body = json.dumps(error.body).encode()
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **error.headers}
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


def _place(error: Exception) -> str:
    """Which of our lines failed, without the error's words."""
    frames = traceback.extract_tb(error.__traceback__)
    last = frames[-1] if frames else None
    where = f" at {last.filename.rpartition('/')[2]}:{last.lineno}" if last else ""
    return f"{type(error).__name__}{where}"
