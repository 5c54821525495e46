"""The model in the package behind a real socket, and clients of it."""

import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from openai import DefaultHttpxClient, OpenAI

import ivl
from engine_driver import one_thread
from ivl.server.app import create_app
from ivl.server.keys import Keys
from ivl.server.run import Server, bind
from ivl.server.settings import ServerSettings
from ivl.server.state import State
from ivl.session import Pipeline
from random_requests import eventually


@dataclass(frozen=True, kw_only=True)
class Live:
    """A server that listens."""

    url: str
    app: FastAPI
    server: Server
    log: io.StringIO
    thread: threading.Thread
    http: httpx.Client

    @property
    def state(self) -> State:
        return self.app.state.ivl

    def openai(self, key: str = "none", **options: Any) -> OpenAI:
        # Without certificates, which take longer to read than most answers; nothing here is encrypted.
        plain = DefaultHttpxClient(verify=False)
        return OpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0, timeout=30, http_client=plain, **options)

    def ask(self, **body: Any) -> httpx.Response:
        """A chat completion; without messages, of a short text."""
        messages = {"messages": [{"role": "user", "content": "hello"}]}
        return self.http.post("/v1/chat/completions", json={**messages, **body})

    def lines(self, count: int = 0) -> list[dict[str, Any]]:
        """What was logged, once there are so many lines: a line is written behind its answer."""
        eventually(lambda: self.log.getvalue().count("\n") >= count)
        return [json.loads(line) for line in self.log.getvalue().splitlines()]

    def line(self, response: httpx.Response) -> dict[str, Any]:
        """What was logged of a request."""
        request_id = response.headers["x-request-id"]
        eventually(lambda: f'"{request_id}"' in self.log.getvalue())
        return next(line for line in self.lines() if line["id"] == request_id)


Serve = Callable[..., Any]


@contextmanager
def listening(pipe: Pipeline, keys: tuple[str, ...] = (), **settings: Any) -> Iterator[Live]:
    given = ServerSettings(port=0, **{"name": "small", **settings})
    log = io.StringIO()
    app = create_app(pipe, given, Keys(keys), log)
    with bind(given) as listener:
        server = Server(app, given)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with httpx.Client(base_url=url, timeout=30, verify=False) as http:
            eventually(lambda: server.started)
            try:
                yield Live(url=url, app=app, server=server, log=log, thread=thread, http=http)
            finally:
                server.drain()
                server.drain()
                thread.join(15)
                app.state.ivl.threads.shutdown()
    assert not thread.is_alive(), "the server does not end"


@pytest.fixture(scope="package", autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="package")
def pipe() -> Iterator[Pipeline]:
    """The model in the package, small batches."""
    with ivl.pipeline(engine_config=ivl.EngineConfig(device="cpu", max_batch_size=8, session_len=2048)) as made:
        yield made


@pytest.fixture(scope="package")
def live(pipe: Pipeline) -> Iterator[Live]:
    """A server with the usual settings, shared by tests that leave it as it is."""
    with listening(pipe) as server:
        yield server


@pytest.fixture
def serve(pipe: Pipeline) -> Serve:
    """Serves with settings of one's own: `with serve(max_n=2) as live`."""

    def own(keys: tuple[str, ...] = (), **settings: Any) -> Any:
        return listening(pipe, keys, **settings)

    return own
