"""The page below the API's server: both answer, each with its own door."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from exact_pipeline import assert_baseline
from ivl.server.app import create_app
from ivl.server.keys import Keys
from ivl.server.run import Server
from ivl.server.settings import ServerSettings
from ivl.ui.models import Models
from ivl.ui.mounting import mount
from random_requests import eventually
from ui.conftest import Tab

KEY = "k" * 20


LONG = ("tiny", 0, 0.8, 3000, "en")


@dataclass(frozen=True, kw_only=True)
class Both:
    """A server that listens, with the page in it."""

    server: Server
    thread: threading.Thread
    http: httpx.Client

    @property
    def state(self) -> Any:
        return self.server._state

    @contextmanager
    def tab(self, session: str) -> Iterator[Tab]:
        with opened(str(self.http.base_url), session) as tab:
            yield tab


@contextmanager
def opened(address: str, session: str) -> Iterator[Tab]:
    """The page of an address, in one browser."""
    with httpx.Client(base_url=f"{address.rstrip('/')}/ui/", timeout=30, verify=False) as below:
        assert below.get("").status_code == 200
        yield Tab(http=below, config=below.get("config").json(), session=session)


@contextmanager
def both(pipe, foods, keys: Keys, **given: Any) -> Iterator[Both]:
    settings = ServerSettings(port=0, name="tiny", **given)
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
            yield Both(server=server, thread=thread, http=http)
        server.drain()
        server.drain()
        thread.join(15)
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def http(pipe, foods):
    with both(pipe, foods, Keys()) as served:
        yield served.http


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
    with opened(str(http.base_url), "mounted") as tab:
        assert tab.ask("hello")["turns"][0]["counts"]["answer"] == 8


def test_its_answers_are_counted_with_the_others(pipe, foods):
    with both(pipe, foods, Keys()) as served, served.tab("counted") as tab:
        tab.ask("hello", tokens=8)
        told = served.http.get("/metrics").text
    assert 'ivl_answers_total{model="tiny",finish_reason="length"} 1' in told
    assert "ivl_time_to_first_token_seconds_count 1" in told
    assert "ivl_inter_token_latency_seconds_count 7" in told


def begun(tab: Tab, settings: tuple[Any, ...] = LONG) -> Iterator[dict[str, Any]]:
    """The view of an answer whose first text is there."""
    values = tab.values(settings, {"do": "ask", "number": 1, "text": "go on"})
    next(value for value in values if value["turns"] and value["turns"][0]["answer"])
    return values


def test_ending_waits_for_an_answer_of_the_page(pipe, foods):
    with both(pipe, foods, Keys()) as served, served.tab("waits") as tab, served.tab("late") as late:
        values = begun(tab, ("tiny", 0, 0.8, 400, "en"))
        served.server.drain()
        assert "closing" in late.ask("me too")["error"]
        *_, last = late.values(("tiny", 0, 0.8, 8, "zh"), {"do": "ask", "text": "还有我"})
        assert "关闭" in last["error"]
        for _ in values:
            pass
        (turn,) = tab.value["turns"]
        assert (turn["counts"]["answer"], turn["counts"]["finish"], tab.value["error"]) == (400, "length", "")
        served.thread.join(10)
        assert not served.thread.is_alive()


@pytest.mark.parametrize("drain_timeout_s", [0.2, 60])
def test_what_takes_too_long_is_told_and_what_was_said_stays(pipe, foods, drain_timeout_s):
    with both(pipe, foods, Keys(), drain_timeout_s=drain_timeout_s) as served, served.tab("cut") as tab:
        values = begun(tab)
        served.server.drain()
        if drain_timeout_s > 1:
            served.server.drain()
        for _ in values:
            pass
        (turn,) = tab.value["turns"]
        assert turn["counts"]["finish"] == "abort"
        assert turn["answer"]
        assert "closing" in tab.value["error"]
        served.thread.join(10)
        assert not served.thread.is_alive()
        assert not served.state.running
    assert_baseline(pipe)


@pytest.mark.slow
def test_a_process_that_is_told_to_end_lets_the_page_finish():
    """By SIGTERM, over real sockets."""
    command = [sys.executable, "-m", "ivl", "serve", "--ui", "--port", "0", "--session-len", "2048", "--name", "tiny"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        try:
            lines = (re.search(r"listening on (http://127.0.0.1:\d+)", line) for line in process.stderr)
            address = next(match[1] for match in lines if match)
            with opened(address, "ends") as tab, opened(address, "late") as late:
                values = tab.values(("tiny", 2, 1, 600, "en"), {"do": "ask", "number": 1, "text": "Tell me more"})
                next(value for value in values if value["turns"] and value["turns"][0]["answer"])
                process.send_signal(signal.SIGTERM)
                assert "closing" in late.ask("me too")["error"]
                for _ in values:
                    pass
                (turn,) = tab.value["turns"]
                assert turn["counts"]["finish"] in ("stop", "length")
                assert tab.value["error"] == ""
            process.stderr.read()
            assert process.wait(20) == 0
        finally:
            process.kill()


def test_one_key_opens_both(pipe, foods):
    with both(pipe, foods, Keys((KEY,))) as served:
        http = served.http
        assert http.get("/ui/").status_code == 401
        assert http.get("/v1/models").status_code == 401
        assert http.get("/ui/", auth=("me", KEY)).status_code == 200
        assert http.get("/v1/models", headers={"authorization": f"Bearer {KEY}"}).status_code == 200
