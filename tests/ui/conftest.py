"""The page behind a real socket, asked as a browser asks it: by Gradio's protocol, over HTTP."""

import base64
import io
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from engine_driver import one_thread
from exact_pipeline import exact_pipeline
from ivl.server.keys import Keys
from ivl.server.settings import ServerSettings
from ivl.session import Pipeline
from ivl.ui.foods import Cuisine, Dish
from ivl.ui.models import Models
from ivl.ui.run import PageServer, page_app
from random_requests import eventually

API = "/gradio_api"


@dataclass(kw_only=True)
class Tab:
    """One open page of one browser: its cookie and its session."""

    http: httpx.Client
    config: dict[str, Any]
    session: str
    value: dict[str, Any] = field(default_factory=dict)

    def component(self, kind: str) -> int:
        wanted = f'<div class="ivl-{kind}"></div>'
        return next(c["id"] for c in self.config["components"] if c["props"].get("html_template") == wanted)

    def join(self, kind: str, event: str, data: list[Any], event_data: Any = None) -> httpx.Response:
        target = self.component(kind)
        index = next(d["id"] for d in self.config["dependencies"] if [target, event] in d["targets"])
        body = {
            "data": data,
            "fn_index": index,
            "session_hash": self.session,
            "event_data": event_data,
            "trigger_id": target,
        }
        return self.http.post(f"{API}/queue/join", json=body)

    def messages(self) -> Iterator[dict[str, Any]]:
        """What the server tells until nothing runs any more."""
        with self.http.stream("GET", f"{API}/queue/data", params={"session_hash": self.session}) as stream:
            for line in stream.iter_lines():
                if line.startswith("data:"):
                    message = json.loads(line[5:])
                    yield message
                    if message["msg"] == "close_stream":
                        return

    def values(self, settings: tuple[Any, ...], asked: Any, kind: str = "composer") -> Iterator[dict[str, Any]]:
        """The view, again and again, while a question is answered."""
        response = self.join(kind, "submit", [*settings], asked)
        assert response.status_code == 200, response.text
        for message in self.messages():
            if message["msg"] in ("process_generating", "process_completed") and message["output"].get("data"):
                self.value = patched(self.value, message["output"]["data"][0])
                yield self.value

    def ask(self, text: str = "hello", *pictures: Any, tokens: int = 8, **more: Any) -> dict[str, Any]:
        """The view after a question has been answered."""
        asked = {"do": "ask", "number": 1, "text": text, "pictures": list(pictures), **more}
        name = more.pop("name", "tiny")
        for _ in self.values((name, 0, 0.8, tokens, "en"), asked):
            pass
        return self.value


def patched(value: Any, update: Any) -> Any:
    """A value after Gradio's list of changes, or the value itself."""
    if not (isinstance(update, list) and all(isinstance(each, list) and len(each) == 3 for each in update)):
        return update
    for action, path, new in update:
        if not path:
            value = value + new if action == "append" else new
            continue
        inner = value
        for key in path[:-1]:
            inner = inner[key]
        if action == "delete":
            del inner[path[-1]]
        elif action == "append":
            inner[path[-1]] += new
        elif action == "add" and isinstance(inner, list):
            inner.insert(path[-1], new)
        else:
            inner[path[-1]] = new
    return value


@dataclass(frozen=True, kw_only=True)
class Live:
    """A page that listens."""

    url: str
    models: Models

    def http(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=30, verify=False, **options)

    @contextmanager
    def tab(self, session: str = "first") -> Iterator[Tab]:
        with self.http() as http:
            assert http.get("/").status_code == 200
            yield Tab(http=http, config=http.get("/config").json(), session=session)


@contextmanager
def listening(
    pipe: Pipeline, keys: tuple[str, ...] = (), foods: tuple[Cuisine, ...] = (), **given: Any
) -> Iterator[Live]:
    settings = ServerSettings(port=0, **given)
    models = Models.of({"tiny": pipe}, settings=settings)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = PageServer(page_app(models, Keys(keys), foods))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        eventually(lambda: server.started, 20)
        try:
            yield Live(url=f"http://127.0.0.1:{listener.getsockname()[1]}", models=models)
        finally:
            server.should_exit = True
            thread.join(15)
    assert not thread.is_alive(), "the server does not end"


def picture_bytes(colour: str = "red", size: tuple[int, int] = (56, 56), kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, kind)
    return buffer.getvalue()


def sent(data: bytes, kind: str = "image/png") -> dict[str, str]:
    return {"data": f"data:{kind};base64,{base64.b64encode(data).decode()}"}


@pytest.fixture(scope="package", autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="package")
def pipe(tiny_folder: Callable[[str], Path]) -> Iterator[Pipeline]:
    """A tiny model that talks until it is stopped."""
    with exact_pipeline(tiny_folder("tiny-internlm2"), session_len=4096, blocks=1024) as made:
        yield made


@pytest.fixture(scope="package")
def foods(tmp_path_factory: pytest.TempPathFactory) -> tuple[Cuisine, ...]:
    path = tmp_path_factory.mktemp("dishes") / "tea.png"
    path.write_bytes(picture_bytes("green"))
    return (Cuisine(names={"en": "Tea", "zh": "茶"}, dishes=(Dish(names={"en": "tea", "zh": "茶"}, picture=path),)),)


@pytest.fixture(scope="package")
def live(pipe: Pipeline, foods: tuple[Cuisine, ...]) -> Iterator[Live]:
    with listening(pipe, foods=foods) as page:
        yield page


Serve = Callable[..., Any]


@pytest.fixture
def serve(pipe: Pipeline, foods: tuple[Cuisine, ...]) -> Serve:
    return lambda keys=(), **settings: listening(pipe, keys, foods, **settings)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "secret.txt"
    path.write_text("secret")
    return path
