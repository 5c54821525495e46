"""Connections: too slow, too many, not HTTP, not reading; each is closed with the right words and nothing is held."""

import json
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from exact_pipeline import assert_baseline
from random_requests import eventually
from server.conftest import Live
from server.served_process import Answer, parse_answer, request_bytes

Serve = Callable[..., Any]
STREAM = {"messages": [{"role": "user", "content": "x"}], "stream": True, "ignore_eos": True}


def connect(live: Live, *, small: bool = False) -> socket.socket:
    sock = socket.socket()
    sock.settimeout(10)
    if small:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", int(live.url.rpartition(":")[2])))
    return sock


def read_all(sock: socket.socket) -> Answer:
    received = b""
    while data := sock.recv(65536):
        received += data
    return parse_answer(received)


def healthy(sock: socket.socket) -> None:
    """One request and its answer, on a connection that stays."""
    sock.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    received = b""
    while not received.endswith(b"}"):
        received += sock.recv(65536)
    assert received.startswith(b"HTTP/1.1 200 ")


def told(answer: Answer) -> str:
    return str(json.loads(answer.body)["error"]["code"])


class TestSlowHeads:
    @pytest.mark.parametrize("content", [b"", b"GET / HTTP/1.1\r\nHost: localhost\r\n"])
    def test_a_head_that_does_not_come_is_a_408(self, serve: Serve, content: bytes) -> None:
        with serve(head_timeout_s=0.2) as live, connect(live) as sock:
            sock.sendall(content)
            answer = read_all(sock)
            assert (answer.status, told(answer)) == (408, "timeout")

    def test_a_head_in_drops_is_a_408_too(self, serve: Serve) -> None:
        with serve(head_timeout_s=0.3) as live, connect(live) as sock:
            begun = time.monotonic()
            try:
                for letter in b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 200:
                    sock.sendall(bytes([letter]))
                    time.sleep(0.02)
            except (BrokenPipeError, ConnectionResetError):
                pass
            assert time.monotonic() - begun < 3

    def test_a_second_head_on_the_same_connection(self, serve: Serve) -> None:
        with serve(head_timeout_s=0.3) as live, connect(live) as sock:
            healthy(sock)
            time.sleep(0.5)  # idle: that is allowed
            healthy(sock)
            sock.sendall(b"GET /health HTTP/1.1\r\n")
            assert read_all(sock).status == 408

    def test_a_long_answer_is_not_cut_off(self, serve: Serve) -> None:
        with serve(head_timeout_s=0.05) as live, connect(live) as sock:
            sock.sendall(request_bytes({**STREAM, "max_tokens": 100}))
            assert read_all(sock).text


class TestTooMany:
    def test_one_too_many_is_a_429(self, serve: Serve) -> None:
        with serve(max_connections=2) as live:
            silent = [connect(live) for _ in range(2)]
            eventually(lambda: len(live.server.server_state.connections) == 2)
            with connect(live) as sock:
                answer = read_all(sock)
                assert (answer.status, told(answer)) == (429, "rate_limit_exceeded")
            silent.pop().close()
            eventually(lambda: len(live.server.server_state.connections) == 1)
            assert live.ask(max_tokens=1).status_code == 200
            silent.pop().close()

    def test_an_idle_one_makes_room(self, serve: Serve) -> None:
        with serve(max_connections=2) as live:
            idle = [connect(live) for _ in range(2)]
            for sock in idle:
                healthy(sock)
            assert live.ask(max_tokens=1).status_code == 200
            assert idle[0].recv(1) == b"", "the longest idle one is not closed"
            healthy(idle[1])
            for sock in idle:
                sock.close()


class TestNoHttp:
    @pytest.mark.parametrize(
        "content",
        [
            b"\x16\x03\x01\x02\x00\x01\x00" * 20,
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n",
        ],
    )
    def test_it_is_a_400_in_the_usual_form(self, live: Live, content: bytes) -> None:
        with connect(live) as sock:
            sock.sendall(content)
            answer = read_all(sock)
            assert (answer.status, told(answer)) == (400, "invalid_http")

    @pytest.mark.parametrize("at_once", [True, False])
    def test_a_large_head_is_a_431(self, live: Live, at_once: bool) -> None:
        ranges = "Range: bytes=" + ",".join(f"{i}-{i}" for i in range(10_000)) + "\r\n"
        content = request_bytes(None, path="/", headers=ranges)
        with connect(live) as sock:
            for start in range(0, len(content), len(content) if at_once else 20_000):
                try:
                    sock.sendall(content[start : start + (len(content) if at_once else 20_000)])
                except (BrokenPipeError, ConnectionResetError):
                    break  # refused before all was sent
                time.sleep(0.02)
            try:
                answer = read_all(sock)
            except ConnectionResetError:
                return
            assert (answer.status, told(answer)) == (431, "head_too_large")

    def test_a_bad_chunk_in_the_middle_of_a_body(self, live: Live) -> None:
        with connect(live) as sock:
            sock.sendall(
                b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"
            )
            time.sleep(0.05)
            sock.sendall(b"zz\r\n")
            assert read_all(sock).status == 400
        eventually(lambda: live.state.bodies.held == 0)
        assert live.ask(max_tokens=1).status_code == 200

    def test_nonsense_behind_a_request_that_is_being_answered(self, live: Live) -> None:
        with connect(live) as sock:
            sock.sendall(request_bytes({**STREAM, "max_tokens": 30}, headers="X: y\r\n") + b"\x00nonsense\r\n\r\n")
            sock.recv(65536)
        eventually(lambda: live.state.gate.num_answers == 0)
        assert live.ask(max_tokens=1).status_code == 200


class TestReaders:
    def test_a_client_of_http_1_0_gets_a_stream_without_chunks(self, live: Live) -> None:
        content = request_bytes({**STREAM, "max_tokens": 5}).replace(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", 1)
        with connect(live) as sock:
            sock.sendall(content)
            answer = read_all(sock)
        assert answer.status == 200
        assert answer.body.startswith(b"data: {")
        assert answer.text

    def test_a_whole_answer_that_nobody_reads_does_not_stay(self, serve: Serve) -> None:
        with serve(send_timeout_s=0.3) as live:
            live.server.servers[0].sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            body = {"messages": [{"role": "user", "content": "x"}], "ignore_eos": True, "max_tokens": 60, "n": 8,
                    "logprobs": True, "top_logprobs": 20}  # fmt: skip
            with connect(live, small=True) as sock:
                sock.sendall(request_bytes(body))
                eventually(lambda: bool(live.lines()), 15)
                eventually(lambda: not live.server.server_state.connections, 5)
            assert_baseline(live.state.pipe, 2)
