"""One client's connection: uvicorn's, but with bounds, with errors in OpenAI's form, and with a short way for streams.

In: bytes of a socket. Out: ASGI, with `scope["ivl.connection"]`. Who takes his time with a request's head, reads
nothing of his answer or is one too many is cut off. Knows no routes.
"""

import asyncio
import json
import sys
import time
from typing import Any

import h11
from fastapi import FastAPI
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol

from ivl.server.errors import ApiError
from ivl.server.front import MAX_HEAD_BYTES
from ivl.server.state import State

_TOO_MANY = "too many connections are open: try again"
_NO_REQUEST = "other"


class Connection(H11Protocol):
    """Made by uvicorn for each client. The app is ours."""

    def __init__(self, config: Config, *args: Any, **options: Any) -> None:
        super().__init__(config, *args, **options)
        assert isinstance(config.app, FastAPI), f"{type(config.app).__name__} is no app of ours"
        self._shared: State = config.app.state.ivl
        self._routes = self.app
        self.app = self._enter
        self._head_timer: asyncio.TimerHandle | None = None
        self._send_timer: asyncio.TimerHandle | None = None
        self._idle_since: float | None = None
        """When its last answer ended; None before the first, and while a request comes or is answered."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._shared.settings.max_connections and not self._close_an_idle_one():
            self._refuse(ApiError(429, _TOO_MANY, code="rate_limit_exceeded", retry_after_s=1))
        else:
            self._expect_head()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self._idle_since = None
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop(self._head_timer)
            self._head_timer = None
        elif self._head_timer is None:
            self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop(self._head_timer)
        self._stop(self._send_timer)
        super().connection_lost(exc)
        self.app = self._routes  # no more a method of its own

    def on_response_complete(self) -> None:
        self._idle_since = time.monotonic()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """More is written than the client reads."""
        super().pause_writing()
        self._send_timer = self.loop.call_later(self._shared.settings.send_timeout_s, self.transport.abort)

    def resume_writing(self) -> None:
        self._stop(self._send_timer)
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        if self.transport.get_write_buffer_size():  # closing would wait for ever for a client that does not read
            self.transport.abort()
        super().timeout_keep_alive_handler()

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP; `msg` is uvicorn's word for that, h11's exception knows more."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()  # in the middle of an answer
            return
        is_large = getattr(sys.exception(), "error_status_hint", 400) == 431
        about = (
            f"the request's head is larger than {MAX_HEAD_BYTES} bytes"
            if is_large
            else "the request is no HTTP that is read here"
        )
        self._refuse(ApiError(431 if is_large else 400, about, code="head_too_large" if is_large else "invalid_http"))

    async def write_event(self, content: bytes) -> None:
        """A piece of a body whose head was sent without a length: what h11 would write, without its ado for each."""
        if self.flow.write_paused:
            await self.flow.drain()
        if not self.transport.is_closing():
            is_chunked = self.conn.their_http_version != b"1.0"
            self.transport.write(b"%x\r\n%b\r\n" % (len(content), content) if is_chunked else content)

    async def _enter(self, scope: Any, receive: Any, send: Any) -> None:
        scope["ivl.connection"] = self
        try:
            await self._routes(scope, receive, send)
        finally:
            del scope["ivl.connection"]  # which this connection holds: two that hold each other stay for long

    def _expect_head(self) -> None:
        self._head_timer = self.loop.call_later(self._shared.settings.head_timeout_s, self._give_up)

    def _give_up(self) -> None:
        seconds = self._shared.settings.head_timeout_s
        self._refuse(ApiError(408, f"the request's head did not arrive within {seconds:g} seconds", code="timeout"))

    def _refuse(self, error: ApiError) -> None:
        """An answer to what never became a request, and the end."""
        self._shared.metrics.requests[_NO_REQUEST, error.status] += 1
        body = json.dumps(error.body).encode()
        headers = {**error.headers, "Connection": "close", "Content-Type": "application/json"}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"HTTP/1.1 {error.status} Refused\r\nContent-Length: {len(body)}\r\n{lines}\r\n"
        self.transport.write(head.encode() + body)
        self.transport.close()

    def _close_an_idle_one(self) -> bool:
        """Make room by the connection that was longest without a request; False where all have one."""
        others = [each for each in self.connections if isinstance(each, Connection) and each._idle_since is not None]
        if not others:
            return False
        oldest = min(others, key=lambda each: each._idle_since or 0.0)
        oldest._idle_since = None  # it is gone a moment later: the next one takes another's place
        oldest.transport.abort()
        return True

    @staticmethod
    def _stop(timer: asyncio.TimerHandle | None) -> None:
        if timer is not None:
            timer.cancel()
