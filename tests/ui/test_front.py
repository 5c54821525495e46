"""The page's door, by real requests: what Gradio's routes could be made to do, and who may not come in."""

import base64
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

import httpx
import pytest

from ui.conftest import API, Live, picture_bytes, sent

EVIL = "https://evil.example"


@pytest.fixture
def http(live: Live) -> Iterator[httpx.Client]:
    with live.http() as client:
        yield client


def raw(live: Live, path: str, method: str = "GET") -> int:
    """The status of a path that no client may tidy up before it is sent."""
    host, port = live.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 10) as connection:
        head = f"{method} {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode())
        return int(connection.recv(100).split()[1])


PATHS = [
    "/etc/passwd",
    "../../../../etc/passwd",
    "..%2f..%2fetc/passwd",
    "%2fetc%2fpasswd",
    "%252e%252e/etc/passwd",
    "C:/Windows/win.ini",
    "file:///etc/passwd",
    "http://127.0.0.1:1/x",
    "/proc/self/environ",
    "pyproject.toml",
    "\\..\\x",
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "route", [f"{API}/file=", f"{API}/file/", "/file=", f"{API}/proxy=", "/proxy=", f"{API}/stream/"]
)
def test_no_route_serves_files_or_fetches(live, route, path):
    assert raw(live, route + path) in (403, 404)
    assert raw(live, route + path, "HEAD") in (403, 404)


@pytest.mark.parametrize(
    "path",
    [
        "/static/../../../etc/passwd",
        "/assets/..%2f..%2f..%2fetc/passwd",
        "/assets/%2e%2e/%2e%2e/x",
        "/static//etc/passwd",
        "/assets/..",
    ],
)
def test_own_files_have_no_way_out(live, path):
    assert raw(live, path) in (403, 404)


def test_a_file_of_the_server_is_not_served(http, file):
    for form in (str(file), quote(str(file), safe="")):
        response = http.get(f"{API}/file={form}")
        assert response.status_code == 403
        assert "secret" not in response.text


GET = [
    "/docs",
    "/redoc",
    "/openapi.json",
    f"{API}/openapi.json",
    "/monitoring",
    "/monitoring/summary",
    f"{API}/runs",
    "/login",
    f"{API}/upload_progress?upload_id=x",
    f"{API}/component_server",
    f"{API}/vibe-code",
    f"{API}/user",
    f"{API}/token",
    f"{API}/dev/reload",
    f"{API}/deep_link",
    f"{API}/mcp/sse",
    f"{API}/call/respond/x",
    "/svelte/x",
    "/custom_component/x",
    f"{API}/heartbeat/../x",
    f"{API}/queue/status",
    "/logout",
    "/pwa_icon",
]


@pytest.mark.parametrize("path", GET)
def test_routes_that_the_page_does_not_need_are_closed(live, path):
    assert raw(live, path) in (403, 404)


@pytest.mark.parametrize(
    "path", ["upload", "component_server", "process_recording", "vibe-edit", "api/respond", "call/respond", "stream/x"]
)
def test_nothing_is_uploaded_or_called(http, path):
    files = {"files": ("a.html", b"<script>alert(1)</script>", "text/html")}
    assert http.post(f"{API}/{path}", files=files).status_code == 403
    assert http.post(f"{API}/{path}", json={}).status_code == 403


def test_a_long_boundary_costs_nothing(http):
    kind = {"content-type": "multipart/form-data; boundary=" + "-" * 60_000}
    assert http.post(f"{API}/upload", content=b"-" * 100_000, headers=kind).status_code == 403
    assert http.post(f"{API}/queue/join", content=b"-" * 100_000, headers=kind).status_code == 415


def test_a_body_of_two_gigabytes_is_refused_at_its_head(live):
    host, port = live.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.sendall(post_head(host, 2**31))
        assert b" 413 " in connection.recv(100)


def test_a_body_that_never_says_its_length_is_cut(serve):
    def endless():
        for _ in range(100):
            yield b" " * 10_000

    with serve(max_body_bytes=100_000) as live, live.http() as http:
        response = http.post(f"{API}/queue/join", content=endless(), headers={"content-type": "application/json"})
        assert response.status_code == 413


def test_many_bodies_together_are_bounded(serve):
    with serve(max_body_bytes=200_000, max_bodies_bytes=250_000) as live, live.tab() as tab:
        big = {"do": "ask", "text": "x" * 150_000}
        statuses = []
        threads = [threading.Thread(target=lambda: statuses.append(slow_body(live, 150_000))) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert 429 in statuses
        assert tab.join("composer", "submit", ["tiny", 0, 0.8, 4, "en"], big).status_code == 200  # all were given back


def post_head(host: str, size: int) -> bytes:
    lines = (
        f"POST {API}/queue/join HTTP/1.1",
        f"Host: {host}",
        "Content-Type: application/json",
        f"Content-Length: {size}",
    )
    return "\r\n".join((*lines, "", "")).encode()


def slow_body(live: Live, size: int) -> int:
    """The status of a body whose last byte comes late."""
    host, port = live.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.sendall(post_head(host, size) + b" " * (size - 1))
        threading.Event().wait(0.7)
        try:
            connection.sendall(b" ")
            return int(connection.recv(100).split()[1])
        except OSError:
            return 429


@pytest.mark.parametrize("cookie", [{}, {"ivl_visitor": "A" * 43}])
@pytest.mark.parametrize("path", ["/", "/config", f"{API}/queue/data?session_hash=x", f"{API}/heartbeat/x"])
def test_a_foreign_origin_is_refused(http, path, cookie):
    assert http.get(path, headers={"origin": EVIL}, cookies=cookie).status_code == 403
    assert http.get(path, headers={"origin": "null"}, cookies=cookie).status_code == 403
    assert http.post(f"{API}/queue/join", json={}, headers={"origin": EVIL}, cookies=cookie).status_code == 403
    assert "access-control-allow-origin" not in http.options(path, headers={"origin": EVIL}).headers


def test_another_sites_subresource_is_refused_and_its_link_is_not(http):
    assert http.get("/", headers={"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}).status_code == 403
    assert http.get("/", headers={"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:7860", "", "10.0.0.1"]
)
def test_a_name_pointed_at_this_machine_is_refused(http, host):
    assert http.get("/", headers={"host": host}).status_code == 403


def test_a_host_of_ones_own_is_allowed(serve):
    with serve(allowed_hosts=("page.example",)) as live, live.http() as http:
        assert http.get("/", headers={"host": "page.example"}).status_code == 200
        assert http.get("/", headers={"host": "other.example"}).status_code == 403


@contextmanager
def canary() -> Iterator[tuple[str, list[bytes]]]:
    """A server that nobody may connect to."""
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)

        def wait() -> None:
            while listener.fileno() >= 0:
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    continue
                except OSError:
                    return
                seen.append(b"somebody came")
                connection.close()

        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", seen
    thread.join(5)


def test_nothing_is_fetched_for_anybody(live):
    with canary() as (address, seen), live.tab("ssrf") as tab:
        for path in (f"{API}/proxy={address}/x", f"/proxy={address}/x", f"{API}/file={address}/x.png"):
            assert tab.http.get(path).status_code == 403
        for header in ("x-direct-url", "x-forwarded-host", "x-gradio-target", "forwarded"):
            assert tab.http.get("/", headers={header: address}).status_code == 200
            assert address not in tab.http.get("/config", headers={header: address}).text
        for picture in (f"{address}/x.png", f"data:{address}", "data:text/html;base64,AAAA"):
            assert tab.ask("a", {"data": picture})["error"]
        gradio_form = {"path": f"{address}/x.png", "url": f"{address}/x.png", "meta": {"_type": "gradio.FileData"}}
        tab.join("composer", "submit", ["tiny", 0, 0.8, 4, "en"], {"do": "ask", "text": "a", "pictures": [gradio_form]})
        list(tab.messages())
        threading.Event().wait(0.5)
    assert seen == []


def test_browsers_are_told_to_keep_everything_inside(http):
    headers = http.get("/").headers
    policy = headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "http:" not in policy
    assert "https:" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie


def test_the_page_counts_nobody_and_offers_no_share(http):
    config = http.get("/config").json()
    assert config["analytics_enabled"] is False
    assert config["footer_links"] == []
    assert not config["run_history"]
    assert config["mcp_server"] is False
    assert config["show_error"] is False
    assert "fonts.googleapis" not in http.get("/").text
    assert "fonts.googleapis" not in http.get("/theme.css").text


def test_only_those_with_a_key_come_in(serve):
    key = "k" * 20
    with serve((f"ann:{key}",)) as live, live.http() as http:
        refused = http.get("/")
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Basic")
        for path in ("/config", f"{API}/heartbeat/x", f"{API}/queue/data?session_hash=x", "/theme.css"):
            assert http.get(path).status_code == 401
        assert http.post(f"{API}/queue/join", json={}).status_code == 401
        assert http.get("/", auth=("anybody", key)).status_code == 200
        assert http.get("/", auth=("anybody", "k" * 19)).status_code == 401
        wrong = base64.b64encode(b"\xff\xfe").decode()
        for given in ("Basic", "Basic ???", f"Basic {wrong}", "Digest x", f"bearer {key}x"):
            assert http.get("/", headers={"authorization": given}).status_code == 401


def test_websockets_are_not_spoken(http):
    upgrade = {
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "x" * 24,
    }
    assert http.get(f"{API}/queue/join", headers=upgrade).status_code in (400, 403, 404, 426)


def test_a_picture_leaves_no_file_on_disk(live):
    folder = os.environ["GRADIO_TEMP_DIR"]
    with live.tab("disk") as tab:
        tab.ask("a", sent(picture_bytes()))
    left = [name for _, _, names in os.walk(folder) for name in names]
    assert left == []
