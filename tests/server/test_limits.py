"""Bodies, queues, keys, origins: who may come in, and with how much."""

import asyncio
import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from PIL import Image

from exact_pipeline import assert_baseline
from ivl.server.errors import ApiError
from ivl.server.limits import Bodies, ClientGone, Gate, Tiles
from ivl.server.settings import ServerSettings
from ivl.session import Pipeline
from random_requests import eventually, held
from server.conftest import Live, listening
from server.test_chat import image_part

Serve = Callable[..., Any]
ALICE, BOB = "alice-0123456789abcdef", "bob-0123456789abcdef"
KEYS = (f"alice:{ALICE}", f"bob:{BOB}")
LONG = {"ignore_eos": True, "max_tokens": 1500}


def raw_request(live: Live, head: str, body: bytes = b"") -> bytes:
    """What comes back for bytes as they are."""
    with socket.create_connection(("127.0.0.1", int(live.url.rpartition(":")[2])), timeout=10) as sock:
        sock.sendall(head.encode() + body)
        answer = b""
        while chunk := sock.recv(65536):
            answer += chunk
    return answer


class TestBodies:
    def test_a_large_body_is_a_413_before_it_is_sent(self, serve: Serve) -> None:
        with serve(max_body_bytes=1000) as live:
            head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n"
            answer = raw_request(live, head)
            assert answer.startswith(b"HTTP/1.1 413 ")
            assert b"larger than 1000 bytes" in answer

    def test_an_endless_body_is_a_413_while_it_comes(self, serve: Serve) -> None:
        with serve(max_body_bytes=100_000) as live:
            head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
            chunk = b"4000\r\n" + b" " * 0x4000 + b"\r\n"
            assert raw_request(live, head, chunk * 7).startswith(b"HTTP/1.1 413 ")
            assert live.state.bodies.held == 0
            assert live.ask(max_tokens=1).status_code == 200

    def test_a_slow_body_is_a_408(self, serve: Serve) -> None:
        with serve(body_timeout_s=0.2) as live:
            head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"
            began = time.monotonic()
            assert raw_request(live, head, b"{").startswith(b"HTTP/1.1 408 ")
            assert time.monotonic() - began < 5

    def test_an_encoded_body_is_a_415(self, live: Live) -> None:
        response = live.http.post("/v1/completions", content=b"x", headers={"Content-Encoding": "gzip"})
        assert response.status_code == 415

    def test_all_bodies_together_are_bounded(self) -> None:
        bodies = Bodies(ServerSettings(max_body_bytes=100, max_bodies_bytes=150))

        async def chunk() -> dict[str, Any]:
            return {"type": "http.request", "body": bytes(90)}

        async def read_two() -> None:
            with bodies.room() as first, bodies.room() as second:
                assert len(await first.read({}, chunk)) == 90
                assert bodies.held == 90
                with pytest.raises(ApiError) as raised:
                    await second.read({}, chunk)
                assert raised.value.status == 429
                first.free()
                assert bodies.held == 90

        asyncio.run(read_two())
        assert bodies.held == 0

    def test_a_million_wrong_values_hold_nobody_up(self, live: Live) -> None:
        body = b'{"messages": [' + b"1," * 1_000_000 + b"1]}"
        slowest = 0.0
        with ThreadPoolExecutor(1) as pool:
            post = pool.submit(raw_request, live, f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
                               f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n", body)  # fmt: skip
            while not post.done():
                begun = time.monotonic()
                assert live.http.get("/health").status_code == 200
                slowest = max(slowest, time.monotonic() - begun)
        assert post.result().startswith(b"HTTP/1.1 400 ")
        assert b"more than 65536 commas" in post.result()
        assert slowest < 2

    def test_a_body_that_is_cut_off_is_nobodys(self) -> None:
        bodies = Bodies(ServerSettings())

        async def gone() -> dict[str, Any]:
            return {"type": "http.disconnect"}

        async def read() -> None:
            with bodies.room() as body:
                await body.read({}, gone)

        with pytest.raises(ClientGone):
            asyncio.run(read())


class TestTiles:
    def test_all_tiles_together_are_bounded(self, serve: Serve) -> None:
        with serve(max_held_tiles=3) as live, ThreadPoolExecutor(1) as pool:
            wide = image_part(Image.new("RGB", (448, 224)))
            body: dict[str, Any] = {"messages": [{"role": "user", "content": [wide]}], "max_tokens": 1}
            with held(live.state.pipe.engine):
                first = pool.submit(live.ask, **body)
                eventually(lambda: live.state.tiles.held == 3)
                assert live.ask(**body).status_code == 429
                assert live.state.tiles.held == 3
            assert first.result().status_code == 200
            eventually(lambda: live.state.tiles.held == 0)
            assert live.ask(**body).status_code == 200

    def test_a_request_is_not_too_large_for_an_empty_server(self) -> None:
        tiles = Tiles(ServerSettings(max_held_tiles=3))
        hold = tiles.hold()
        hold.take(5)
        with pytest.raises(ApiError):
            tiles.hold().take(1)
        tiles.hold().take(0)
        hold.release()
        hold.release()
        assert tiles.held == 0


class TestQueue:
    def test_a_full_queue_is_a_429_that_says_when_to_come_again(self, serve: Serve) -> None:
        with (
            serve(max_running=1, max_queue=1, retry_after_s=7) as live,
            ThreadPoolExecutor(2) as pool,
            held(live.state.pipe.engine),
        ):
            waiting = [pool.submit(live.ask, max_tokens=1) for _ in range(2)]
            eventually(lambda: live.state.gate.num_answers == 2)
            response = live.ask()
            assert response.status_code == 429
            assert response.headers["retry-after"] == "7"
            assert response.json()["error"]["type"] == "rate_limit_error"
            assert not any(each.done() for each in waiting)
        assert [each.result().status_code for each in waiting] == [200, 200]

    def test_a_key_has_its_share(self, serve: Serve) -> None:
        with serve(KEYS, per_key=1) as live, ThreadPoolExecutor(2) as pool:
            alice, bob = ({"Authorization": f"Bearer {key}"} for key in (ALICE, BOB))
            body = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 1}

            def ask(headers: dict[str, str]) -> int:
                return live.http.post("/v1/chat/completions", json=body, headers=headers).status_code

            with held(live.state.pipe.engine):
                first = pool.submit(ask, alice)
                eventually(lambda: live.state.gate.num_answers == 1)
                assert ask(alice) == 429
                other = pool.submit(ask, bob)
                eventually(lambda: live.state.gate.num_answers == 2)
            assert (first.result(), other.result()) == (200, 200)
            assert ask(alice) == 200
            assert [line["key"] for line in live.lines(4)].count("alice") == 3

    def test_more_answers_than_there_are_places_are_a_400(self) -> None:
        gate = Gate(ServerSettings(max_running=2, max_queue=1))
        with pytest.raises(ApiError) as raised, gate.place("x", 4, is_shared=True):
            pass
        assert raised.value.status == 400
        assert gate.num_answers == 0

    def test_a_place_is_free_after_a_failure(self) -> None:
        gate = Gate(ServerSettings(max_running=1, max_queue=0))
        with pytest.raises(ZeroDivisionError), gate.place("x", 1, is_shared=True):
            raise ZeroDivisionError
        with gate.place("y", 1, is_shared=True):
            assert gate.num_answers == 1


@pytest.fixture(scope="module")
def keyed(pipe: Pipeline) -> Iterator[Live]:
    """A server with keys, shared by tests that leave it as it is."""
    with listening(pipe, KEYS) as server:
        yield server


ROUTES = [
    ("GET", "/"), ("GET", "/openapi.json"), ("GET", "/v1/models"), ("GET", "/v1/models/small"), ("GET", "/health"),
    ("GET", "/ready"), ("GET", "/metrics"), ("POST", "/v1/chat/completions"), ("POST", "/v1/completions"),
    ("GET", "/nothing"), ("OPTIONS", "/v1/models"), ("GET", "//v1/models"), ("GET", "/v1/models/"),
]  # fmt: skip


class TestKeys:
    def test_every_route_needs_one(self, keyed: Live) -> None:
        for method, path in ROUTES:
            for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": ALICE}, {"Host": "x"}):
                response = keyed.http.request(method, path, headers=headers)
                assert response.status_code == 401, (method, path, headers)
                assert response.headers["www-authenticate"] == "Bearer"
                assert response.json()["error"]["code"] == "invalid_api_key"

    def test_openais_client_sends_it(self, keyed: Live) -> None:
        with keyed.openai(BOB) as client:
            assert client.models.list().data[0].id == "small"
        with keyed.openai("wrong-0123456789abcdef") as client, pytest.raises(openai.AuthenticationError):
            client.models.list()
        assert BOB not in keyed.log.getvalue()

    def test_health_may_be_open(self, serve: Serve) -> None:
        with serve(KEYS, open_health=True) as live:
            assert live.http.get("/health").status_code == 200
            assert live.http.get("/ready").status_code == 200
            assert live.http.get("/healthy").status_code == 401
            assert live.http.get("/metrics").status_code == 401

    def test_one_keys_pictures_and_beginnings_are_not_found_by_another(self, keyed: Live) -> None:
        body = {"messages": [{"role": "user", "content": "a beginning " * 40}], "max_tokens": 1}

        def cached(key: str) -> int:
            before = keyed.state.pipe.stats.cached_tokens
            answer = keyed.http.post("/v1/chat/completions", json=body, headers={"Authorization": f"Bearer {key}"})
            assert answer.status_code == 200
            return keyed.state.pipe.stats.cached_tokens - before

        assert cached(ALICE) == 0
        assert cached(ALICE) > 0
        assert cached(BOB) == 0


class TestOrigins:
    def test_a_page_of_another_origin_is_refused(self, live: Live) -> None:
        body = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 1}
        for origin, status in (("https://evil.example", 403), ("null", 403), (live.url, 200)):
            response = live.http.post("/v1/chat/completions", json=body, headers={"Origin": origin})
            assert response.status_code == status
            assert "access-control-allow-origin" not in response.headers

    @pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "localhost@x"])
    def test_a_name_that_points_here_is_refused(self, live: Live, host: str) -> None:
        response = live.http.get("/v1/models", headers={"Host": host})
        assert response.status_code == 403
        assert response.json()["error"]["code"] == "foreign_host"

    @pytest.mark.parametrize("host", ["localhost", "localhost:9000", "127.0.0.1:1", "[::1]:80", "LOCALHOST"])
    def test_this_machines_own_names_are_not(self, live: Live, host: str) -> None:
        assert live.http.get("/v1/models", headers={"Host": host}).status_code == 200

    def test_origins_that_are_allowed(self, serve: Serve) -> None:
        origin = "https://good.example"
        with serve(KEYS, cors_origins=(origin,)) as live:
            asked = {"Origin": origin, "Access-Control-Request-Method": "POST",
                     "Access-Control-Request-Headers": "authorization,content-type"}  # fmt: skip
            assert (
                live.http.options("/v1/chat/completions", headers=asked).headers["access-control-allow-origin"]
                == origin
            )
            bad = live.http.options("/v1/chat/completions", headers={**asked, "Origin": "https://evil.example"})
            assert "access-control-allow-origin" not in bad.headers
            answer = live.http.get("/v1/models", headers={"Origin": origin, "Authorization": f"Bearer {ALICE}"})
            assert answer.status_code == 200
            assert answer.headers["access-control-allow-origin"] == origin
            assert live.http.get("/v1/models", headers={"Origin": origin}).status_code == 401


class TestLeaving:
    @pytest.mark.parametrize("is_stream", [True, False])
    def test_who_leaves_frees_everything_at_once(self, serve: Serve, is_stream: bool) -> None:
        with serve() as live:
            body = {"messages": [{"role": "user", "content": "x"}], "stream": is_stream, "n": 2, **LONG}
            content = json.dumps(body).encode()
            head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n\r\n"
            with socket.create_connection(("127.0.0.1", int(live.url.rpartition(":")[2])), timeout=10) as sock:
                sock.sendall(head.encode() + content)
                eventually(lambda: live.state.pipe.stats.running == 2)
                if is_stream:
                    assert sock.recv(1000)
            eventually(lambda: live.state.gate.num_answers == 0, 2)
            eventually(lambda: live.state.pipe.stats.running == 0, 2)
            assert live.state.pipe.stats.generated_tokens < 10**6
            assert_baseline(live.state.pipe, 2)
            assert live.lines(1)[-1]["finish"] == "disconnect"

    def test_who_leaves_while_pictures_are_read(self, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
        with serve(prepare_threads=1) as live:
            stream, closed = live.state.pipe.stream, []

            def slow(*args: Any, **options: Any) -> Any:
                time.sleep(0.3)
                answers = stream(*args, **options)
                close = answers.close
                answers.close = lambda: (closed.append(True), close())
                return answers

            monkeypatch.setattr(live.state.pipe, "stream", slow)
            with live.openai().with_options(timeout=0.1) as client, pytest.raises(openai.APITimeoutError):
                client.chat.completions.create(
                    model="small", messages=[{"role": "user", "content": "x"}], max_tokens=1500
                )
            eventually(lambda: live.state.gate.num_answers == 0, 2)
            eventually(lambda: bool(closed), 2)
            eventually(lambda: live.state.tiles.held == 0, 2)
            assert_baseline(live.state.pipe, 2)

    def test_who_does_not_read_is_cut_off(self, serve: Serve) -> None:
        with serve(send_timeout_s=0.3) as live:
            live.server.servers[0].sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            body = {"messages": [{"role": "user", "content": "x"}], "stream": True, "n": 8, "logprobs": True,
                    "top_logprobs": 20, **LONG}  # fmt: skip
            content = json.dumps(body).encode()
            head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n\r\n"
            with socket.socket() as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                sock.connect(("127.0.0.1", int(live.url.rpartition(":")[2])))
                sock.sendall(head.encode() + content)
                eventually(lambda: bool(live.lines()), 15)
            assert live.lines()[-1]["finish"].endswith("disconnect")
            assert_baseline(live.state.pipe, 2)
