"""The page below the API's server: both answer, each with its own door."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from ivl.server.app import create_app
from ivl.server.keys import Keys
from ivl.server.run import Server
from ivl.server.settings import ServerSettings
from ivl.ui.models import Models
from ivl.ui.mounting import mount
from random_requests import eventually
from ui.conftest import Tab

KEY = "k" * 20


@contextmanager
def both(pipe, foods, keys: Keys) -> Iterator[httpx.Client]:
    settings = ServerSettings(port=0, name="tiny")
    app = create_app(pipe, settings, keys)
    mount(app, Models.of({"tiny": pipe}, settings=settings), keys=keys, cuisines=foods)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = Server(app, settings)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        eventually(lambda: server.started, 20)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with httpx.Client(base_url=address, timeout=30, verify=False) as http:
            yield http
        server.drain()
        server.drain()
        thread.join(15)
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def http(pipe, foods):
    with both(pipe, foods, Keys()) as client:
        yield client


def test_the_page_is_below_its_path(http):
    assert http.get("/ui").headers["location"] == "/ui/"
    assert http.get("/ui/").status_code == 200
    assert http.get("/ui/config").json()["root"].endswith("/ui")
    assert http.get("/ui/theme.css").status_code == 200
    assert http.get("/ui/gradio_api/file=/etc/passwd").status_code == 403
    assert http.get("/gradio_api/file=/etc/passwd").status_code == 404


def test_the_api_is_where_it_was(http):
    assert http.get("/v1/models").json()["data"][0]["id"] == "tiny"
    assert http.get("/ready").status_code == 200
    assert http.get("/uix").status_code == 404


def test_the_page_answers(http):
    below = httpx.Client(base_url=f"{http.base_url}/ui/", timeout=30, verify=False)
    with below:
        assert below.get("").status_code == 200
        tab = Tab(http=below, config=below.get("config").json(), session="mounted")
        assert tab.ask("hello")["turns"][0]["counts"]["answer"] == 8


def test_one_key_opens_both(pipe, foods):
    with both(pipe, foods, Keys((KEY,))) as http:
        assert http.get("/ui/").status_code == 401
        assert http.get("/v1/models").status_code == 401
        assert http.get("/ui/", auth=("me", KEY)).status_code == 200
        assert http.get("/v1/models", headers={"authorization": f"Bearer {KEY}"}).status_code == 200
