"""Listening and ending: what runs may finish, what is new is sent away, and the process ends with 0."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from exact_pipeline import assert_baseline
from ivl.errors import SettingsError
from ivl.server.run import bind, how_to_reach
from ivl.server.settings import ServerSettings
from random_requests import eventually
from server.conftest import Live

BODY: dict[str, Any] = {"messages": [{"role": "user", "content": "x"}], "stream": True, "ignore_eos": True}
CHAT = "/v1/chat/completions"


@contextmanager
def begun_stream(client: httpx.Client, max_tokens: int) -> Iterator[Iterator[str]]:
    """The lines of a streamed answer whose first has come."""
    with client.stream("POST", CHAT, json={**BODY, "max_tokens": max_tokens}) as response:
        lines = (line for line in response.iter_lines() if line)
        assert next(lines).startswith("data: {")
        yield lines


def test_what_runs_may_finish(serve: Callable[..., Any]) -> None:
    with serve() as live:
        with httpx.Client(base_url=live.url) as other, begun_stream(live.http, 150) as lines:
            live.server.drain()
            ready, refused = other.get("/ready"), other.post(CHAT, json=BODY)
            assert (ready.status_code, ready.json()["status"]) == (503, "draining")
            assert refused.status_code == 503
            assert refused.headers["retry-after"]
            assert refused.json()["error"]["code"] == "draining"
            assert other.get("/health").status_code == 200
            rest = list(lines)
        assert rest[-1] == "data: [DONE]"
        assert json.loads(rest[-2].removeprefix("data: "))["choices"][0]["finish_reason"] == "length"
        live.thread.join(5)
        assert not live.thread.is_alive()
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{live.url}/health")


@pytest.mark.parametrize("how", ["in time", "at once"])
def test_what_does_not_finish_in_time_is_told_so(serve: Callable[..., Any], how: str) -> None:
    with serve(drain_timeout_s=0.2 if how == "in time" else 60) as live:
        with begun_stream(live.http, 1500) as lines:
            live.server.drain()
            if how == "at once":
                live.server.drain()
            rest = list(lines)
        assert json.loads(rest[-1].removeprefix("data: "))["error"]["code"] == "draining"
        live.thread.join(5)
        assert not live.thread.is_alive()
        assert_baseline(live.state.pipe, 2)


def test_an_answer_that_has_not_begun_gets_a_503(serve: Callable[..., Any]) -> None:
    with serve(drain_timeout_s=0.2) as live:
        import threading

        answers: list[httpx.Response] = []
        thread = threading.Thread(target=lambda: answers.append(live.ask(ignore_eos=True, max_tokens=1500)))
        thread.start()
        eventually(lambda: live.state.pipe.stats.running == 1)
        live.server.drain()
        thread.join(10)
        assert answers[0].status_code == 503
        assert answers[0].json()["error"]["code"] == "draining"


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:  # it was closed meanwhile
        return ""


def listening(pid: int) -> list[int]:
    """Ports that a process listens on, TCP and UDP, as Linux tells."""
    folder = Path(f"/proc/{pid}")
    own = {match[1] for each in (folder / "fd").iterdir() if (match := re.match(r"socket:\[(\d+)\]", _target(each)))}
    ports = []
    for name in ("tcp", "tcp6", "udp", "udp6"):
        for row in (line.split() for line in (folder / "net" / name).read_text().splitlines()[1:]):
            if row[9] in own and (row[3] == "0A" or name.startswith("udp")):
                ports.append(int(row[1].rpartition(":")[2], 16))
    return ports


def test_the_command_listens_and_ends_with_0_when_it_is_told_to() -> None:
    """It says where it listens when it does, no port of torch, a debugger or a worker is beside it, and it drains."""
    command = [sys.executable, "-m", "ivl", "serve", "--port", "0", "--session-len", "2048", "--name", "tiny"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "IVL_API_KEYS": "me:0123456789abcdef"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        try:
            address = re.fullmatch(r"listening on (http://127.0.0.1:(\d+)) .*\n", process.stderr.readline())
            assert address
            assert f"ssh -N -L {address[2]}:127.0.0.1:{address[2]} " in process.stderr.readline()
            headers = {"Authorization": "Bearer 0123456789abcdef"}
            with httpx.Client(base_url=address[1], headers=headers, timeout=30) as client:
                assert client.get("/v1/models").json()["data"][0]["id"] == "tiny"
                with begun_stream(client, 200) as lines:
                    assert listening(process.pid) == [int(address[2])]
                    process.send_signal(signal.SIGTERM)
                    assert list(lines)[-1] == "data: [DONE]"
            rest = process.stderr.read()
            assert process.wait(20) == 0
        finally:
            process.kill()
    lines = [json.loads(line) for line in rest.splitlines()]
    assert [(line["route"], line["key"], line["status"]) for line in lines] == [
        ("/v1/models", "me", 200),
        (CHAT, "me", 200),
    ]
    assert lines[-1]["finish"] == "length"


def test_a_port_that_is_taken_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"127.0.0.1 port {port} cannot be listened on"):
            bind(ServerSettings(port=port))
    with pytest.raises(SettingsError, match="cannot be listened on"):
        bind(ServerSettings(host="no.such.host.invalid"))


def test_answers_are_not_held_back_for_a_full_packet(live: Live) -> None:
    """asyncio switches Nagle's algorithm off for sockets that name TCP as their protocol."""
    assert live.server.servers[0].sockets[0].proto == socket.IPPROTO_TCP


def test_how_to_reach_it() -> None:
    local = how_to_reach(ServerSettings(), 8000)
    assert local[0].startswith("listening on http://127.0.0.1:8000 ")
    assert "ssh -N -L 8000:127.0.0.1:8000 " in local[1]
    (beyond,) = how_to_reach(ServerSettings(host="0.0.0.0"), 8000)
    assert f"http://{socket.gethostname()}:8000" in beyond
    assert "http://[::1]:8000" in how_to_reach(ServerSettings(host="::1"), 8000)[0]
