"""Fetching by URL, with real sockets on this machine; names are answered by a resolver of the test."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ivl.errors import ImageError, SettingsError
from ivl.processing.fetch import Address, FetchPolicy, Network, fetch_url, resolve_host
from ivl.processing.urls import is_public

PUBLIC = "93.184.215.14"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

# A key and its certificate for a name that exists nowhere, good for a century; of no use outside these tests.
KEY = """
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgThOUg69iCZmcwwnZ
FDTyzQxo/HeJDaKXBBHH0oryqJyhRANCAATYT6mdKnwpyyl6Y00nt8kz8nmHZz4Q
sCOam3cH6rO/dAcEp1p6q0dsShKtrfBn0/bY8jrglWLi5pqOkAWUdsJE
"""
CERTIFICATE = """
MIIBqzCCAVCgAwIBAgIUFXKcDRB/JfxjXp/aKMux7nbwxn0wCgYIKoZIzj0EAwIw
GzEZMBcGA1UEAwwQcGljdHVyZXMuZXhhbXBsZTAgFw0yNjExMjIxMDIyMjNaGA8y
MTI2MTAyOTEwMjIyM1owGzEZMBcGA1UEAwwQcGljdHVyZXMuZXhhbXBsZTBZMBMG
ByqGSM49AgEGCCqGSM49AwEHA0IABNhPqZ0qfCnLKXpjTSe3yTPyeYdnPhCwI5qb
dwfqs790BwSnWnqrR2xKEq2t8GfT9tjyOuCVYuLmmo6QBZR2wkSjcDBuMB0GA1Ud
DgQWBBRKtEB/vXAndmcVhs6F1nGZDGpxUjAfBgNVHSMEGDAWgBRKtEB/vXAndmcV
hs6F1nGZDGpxUjAPBgNVHRMBAf8EBTADAQH/MBsGA1UdEQQUMBKCEHBpY3R1cmVz
LmV4YW1wbGUwCgYIKoZIzj0EAwIDSQAwRgIhAP1BMxaJwHAZ00mrr8rKtkzeXNWi
kkAZYZxqVn4GjcjyAiEAgrEpYKskBz2+rKBhXsFIwJObXqZmDoNb5MrPQaVt4YE=
"""


@dataclass
class Host:
    """A server on this machine that answers each connection as it is told, and keeps what it was sent."""

    answer: Callable[[socket.socket], None]
    requests: list[str] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._talk, args=(sock,), daemon=True).start()

    def _talk(self, sock: socket.socket) -> None:
        try:
            with sock:
                self.requests.append(sock.recv(65536).decode("latin-1"))
                self.answer(sock)
        except OSError:
            pass

    def stop(self) -> None:
        self.listener.close()


@pytest.fixture
def host() -> Iterator[Callable[..., Host]]:
    """Starts hosts that answer with fixed bytes or by a function."""
    started: list[Host] = []

    def start(answer: bytes | Callable[[socket.socket], None]) -> Host:
        speak = answer if callable(answer) else (lambda sock: sock.sendall(answer))
        started.append(Host(speak))
        return started[-1]

    yield start
    for each in started:
        each.stop()


@dataclass
class FakeNetwork:
    """Names are answered from a table, one list of addresses after the other; every dial goes to one host."""

    names: dict[str, list[list[str]]]
    real: Host | None = None
    dialled: list[str] = field(default_factory=list)

    def network(self) -> Network:
        return Network(resolve=self.resolve, dial=self.dial)

    def resolve(self, name: str, port: int, timeout_s: float) -> list[Address]:
        answers = self.names[name]
        return [Address(ip, port) for ip in (answers.pop(0) if len(answers) > 1 else answers[0])]

    def dial(self, address: Address, timeout_s: float) -> socket.socket:
        self.dialled.append(address.ip)
        assert self.real is not None, f"a connection to {address.ip} was opened"
        return socket.create_connection(("127.0.0.1", self.real.port), timeout=timeout_s)


def refusal(url: str, policy: FetchPolicy | None = None, network: Network | None = None) -> str:
    """The message of the ImageError that fetching must end in: one line without addresses."""
    with pytest.raises(ImageError) as caught:
        fetch_url(url, policy or FetchPolicy(), network)
    message = str(caught.value)
    assert "\n" not in message
    assert "0x" not in message
    assert "127.0.0" not in message.replace(url.split("?")[0], "")
    return message


LOCAL = FetchPolicy(allow_private=True, timeout_s=5, read_timeout_s=5)


def test_fetches_a_public_address(host: Callable[..., Host]) -> None:
    fake = FakeNetwork({"pictures.example": [[PUBLIC]]}, host(OK))
    url = "http://Pictures.example/a%20b/\u83dc.png?x=1&y=\u83dc|#part"
    assert fetch_url(url, FetchPolicy(), fake.network()) == b"hello"
    assert fake.dialled == [PUBLIC]
    request = fake.real.requests[0]
    assert request.startswith("GET /a%20b/%E8%8F%9C.png?x=1&y=%E8%8F%9C%7C HTTP/1.1\r\n")
    assert "\r\nHost: pictures.example\r\n" in request
    assert "identity" in request


def test_loopback_only_when_allowed(host: Callable[..., Host]) -> None:
    local = host(OK)
    url = f"http://127.0.0.1:{local.port}/a.png"
    assert "allow_private=True" in refusal(url)
    assert local.connections == 0
    assert fetch_url(url, LOCAL) == b"hello"
    assert f"Host: 127.0.0.1:{local.port}" in local.requests[0]


LOOPBACK_SPELLINGS = [
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0177.0.0.1",
    "017700000001",
    "0",
    "0.0.0.0",
    "127.0.0.1.",
    "localhost",
    "LOCALHOST.",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "\uff11\uff12\uff17.0.0.1",
    "\u2460\u2461\u2466.0.0.1",
    "127\u30020\u30020\u30021",
    "\uff4cocalhost",
]


@pytest.mark.parametrize("spelling", LOOPBACK_SPELLINGS)
def test_loopback_in_every_spelling(spelling: str, host: Callable[..., Host]) -> None:
    local = host(OK)
    url = f"http://{spelling}:{local.port}/a.png"
    with pytest.raises(ImageError):
        fetch_url(url, FetchPolicy(timeout_s=3))
    assert local.connections == 0


@pytest.mark.parametrize(
    "url",
    [
        "http://{evil}\\@{good}/",
        "http://{good}\\@{evil}/",
        "http://{good}@{evil}/",
        "http://user:secret@{good}/",
        "http://{good}:80@{evil}/",
        "http:\\\\{evil}/",
        "http:/{evil}/",
        "http:///{evil}/",
        "http://",
        "http://:80/",
        "http://{good}:99999/",
        "http://{good}:0/",
        "http://{good}:port/",
        "http://[::1/",
        "http://{good}/a b.png",
        "http://{good}/a\r\nX-Injected: 1",
        "http://{good}/a\tb",
        "http://{good}\x00.{evil}/",
        "http://{good}\uff0f.{evil}/",
        "http://{good}\uff03.{evil}/",
        "file:///etc/passwd",
        "ftp://{good}/a.png",
        "gopher://{good}/",
        "javascript://{good}/",
        "//{good}/a.png",
        "{good}/a.png",
    ],
)
def test_odd_urls_open_no_connection(url: str) -> None:
    fake = FakeNetwork({"good.example": [[PUBLIC]], "evil.example": [["127.0.0.1"]]})
    message = refusal(url.format(good="good.example", evil="evil.example"), network=fake.network())
    assert "secret" not in message
    assert fake.dialled == []


@pytest.mark.parametrize(
    "ip",
    [
        "127.0.0.1", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",
        "100.64.0.1", "100.127.255.254", "0.0.0.0", "0.1.2.3", "192.0.0.8", "192.0.2.1", "198.18.0.1",
        "198.51.100.1", "203.0.113.5", "168.63.129.16", "3fff::1", "224.0.0.1", "239.255.255.250",
        "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254",
        "fec0::1", "ff02::1", "::ffff:10.0.0.1", "::127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1",
        "64:ff9b:1::1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2001:0:4136:e378:8000:63bf:80ff:fffe",
        "2001:db8::1", "100::1", "nonsense", "",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public(ip: str) -> None:
    assert not is_public(ip)
    fake = FakeNetwork({"evil.example": [[ip]]})
    assert "public internet" in refusal("http://evil.example/", network=fake.network())
    mixed = FakeNetwork({"evil.example": [[PUBLIC, ip]]})
    assert "public internet" in refusal("https://evil.example/", network=mixed.network())
    assert fake.dialled == mixed.dialled == []


@pytest.mark.parametrize("ip", ["1.1.1.1", PUBLIC, "2606:4700:4700::1111", "64:ff9b::101:101", "::ffff:8.8.8.8"])
def test_addresses_that_are_public(ip: str) -> None:
    assert is_public(ip)


@settings(max_examples=200, deadline=None)
@given(private=st.sampled_from([(10, 8), (127, 8), (0, 8)]), low=st.integers(0, 2**24 - 1))
def test_whole_private_blocks(private: tuple[int, int], low: int) -> None:
    octets = [private[0], low >> 16, low >> 8 & 255, low & 255]
    dotted = ".".join(map(str, octets))
    assert not is_public(dotted)
    assert not is_public(f"::ffff:{dotted}")


def test_a_name_is_resolved_once_and_the_checked_address_dialled(host: Callable[..., Host]) -> None:
    fake = FakeNetwork({"rebinding.example": [[PUBLIC], ["127.0.0.1"]]}, host(OK))
    assert fetch_url("http://rebinding.example/", FetchPolicy(), fake.network()) == b"hello"
    assert fake.dialled == [PUBLIC]
    assert "public internet" in refusal("http://rebinding.example/", network=fake.network())
    assert fake.dialled == [PUBLIC]


def redirect(location: str, status: int = 302) -> bytes:
    return f"HTTP/1.1 {status} Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://evil.example/",
        "//evil.example/x",
        "file:///etc/passwd",
        "http://user@evil.example/",
        "http://[::1]/",
    ],
)
def test_every_hop_is_checked(location: str, status: int, host: Callable[..., Host]) -> None:
    names = {
        "good.example": [[PUBLIC]],
        "evil.example": [["127.0.0.1"]],
        "169.254.169.254": [["169.254.169.254"]],
        "::1": [["::1"]],
    }
    fake = FakeNetwork(names, host(redirect(location, status)))
    message = refusal("http://good.example/", network=fake.network())
    assert "not fetched" in message or "not a valid URL" in message
    assert fake.dialled == [PUBLIC]


def test_redirects_are_followed_up_to_the_limit(host: Callable[..., Host]) -> None:
    def answer(sock: socket.socket) -> None:
        left = int(server.requests[-1].split("/")[1].split()[0])
        sock.sendall(redirect(f"/{left - 1}") if left else OK)

    server = host(answer)
    url = f"http://127.0.0.1:{server.port}"
    assert fetch_url(f"{url}/3", LOCAL) == b"hello"
    assert "max_redirects=3" in refusal(f"{url}/4", LOCAL)
    assert "max_redirects=0" in refusal(f"{url}/1", FetchPolicy(allow_private=True, max_redirects=0))


def test_allowed_hosts(host: Callable[..., Host]) -> None:
    fake = FakeNetwork({"good.example": [[PUBLIC]], "good.example.": [[PUBLIC]]}, host(OK))
    policy = FetchPolicy(allowed_hosts=("Good.example",))
    assert fetch_url("http://GOOD.example./", policy, fake.network()) == b"hello"
    for url in ("http://other.example/", "http://good.example.evil.example/", "http://agood.example/"):
        assert "allowed_hosts" in refusal(url, policy, fake.network())
    hop = FakeNetwork({"good.example": [[PUBLIC]]}, host(redirect("http://other.example/")))
    assert "allowed_hosts" in refusal("http://good.example/", policy, hop.network())
    assert "switched off" in refusal("http://good.example/", FetchPolicy(enabled=False), fake.network())


def endless(sock: socket.socket) -> None:
    sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        sock.sendall(bytes(65536))


def test_size_is_limited_while_reading(host: Callable[..., Host]) -> None:
    policy = FetchPolicy(allow_private=True, max_bytes=200_000)
    promised = host(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n")
    chunked = host(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + (b"fffff\r\n" + bytes(0xFFFFF) + b"\r\n") * 3
    )
    exact = host(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + bytes(200_000))
    for server in (host(endless), promised, chunked):
        assert "max_bytes=200000" in refusal(f"http://127.0.0.1:{server.port}/", policy)
    assert fetch_url(f"http://127.0.0.1:{exact.port}/", policy) == bytes(200_000)


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n"])
def test_time_is_limited_however_slowly_it_drips(start: bytes, host: Callable[..., Host]) -> None:
    def drip(sock: socket.socket) -> None:
        sock.sendall(start)
        while True:
            sock.sendall(b"x")
            time.sleep(0.02)

    server = host(drip)
    began = time.monotonic()
    policy = FetchPolicy(allow_private=True, timeout_s=0.4, read_timeout_s=0.3)
    assert "timeout_s=0.4" in refusal(f"http://127.0.0.1:{server.port}/", policy)
    assert time.monotonic() - began < 3


def test_silence_is_limited(host: Callable[..., Host]) -> None:
    server = host(lambda sock: time.sleep(3))
    began = time.monotonic()
    policy = FetchPolicy(allow_private=True, timeout_s=20, read_timeout_s=0.2)
    assert "read_timeout_s=0.2" in refusal(f"http://127.0.0.1:{server.port}/", policy)
    assert time.monotonic() - began < 3


def test_slow_names_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: time.sleep(2) or [])
    began = time.monotonic()
    assert "in time" in refusal("http://slow.example/", FetchPolicy(timeout_s=0.2))
    assert time.monotonic() - began < 1.5


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "status 404"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "status 204"),
        (b"HTTP/1.1 302 Found\r\n\r\n", "status 302"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", "cut off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nhello", "cut off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello", "cut off or no HTTP"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "no HTTP"),
        (b"", "no HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n", "no HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 10**6, "no HTTP"),
    ],
)
def test_answers_that_are_no_success(answer: bytes, words: str, host: Callable[..., Host]) -> None:
    assert words in refusal(f"http://127.0.0.1:{host(answer).port}/a.png?token=secret", LOCAL)


def test_hosts_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    assert "cannot be reached" in refusal(f"http://127.0.0.1:{port}/", LOCAL)

    def unknown(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert "is not known" in refusal("http://nowhere.example/")


def test_the_next_address_is_tried(host: Callable[..., Host]) -> None:
    server = host(OK)
    fake = FakeNetwork({"two.example": [["2606:4700:4700::1111", PUBLIC]]}, server)

    def dial(address: Address, timeout_s: float) -> socket.socket:
        if ":" in address.ip:
            raise OSError("no route")
        return fake.dial(address, timeout_s)

    assert fetch_url("http://two.example/", FetchPolicy(), Network(resolve=fake.resolve, dial=dial)) == b"hello"


def test_proxies_of_the_environment_are_not_used(host: Callable[..., Host], monkeypatch: pytest.MonkeyPatch) -> None:
    proxy, server = host(OK), host(OK)
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    assert fetch_url(f"http://127.0.0.1:{server.port}/", LOCAL) == b"hello"
    assert (proxy.connections, server.connections) == (0, 1)


def test_messages_hide_query_and_password() -> None:
    policy = FetchPolicy(enabled=False)
    message = refusal("https://user:secret@h.example/a.png?token=secret#secret", policy)
    assert "secret" not in message
    assert "h.example/a.png" in message
    assert len(refusal("https://h.example/" + "a" * 5000, policy)) < 300


@pytest.mark.parametrize("name", ["pictures.example", "other.example"])
def test_tls_is_checked_against_the_name_of_the_url(name: str, tmp_path: Path) -> None:
    pem = tmp_path / "certificate.pem"
    blocks = (("PRIVATE KEY", KEY), ("CERTIFICATE", CERTIFICATE))
    pem.write_text("".join(f"-----BEGIN {name}-----{digits}-----END {name}-----\n" for name, digits in blocks))
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(pem)
    asked: list[str | None] = []
    server_side.sni_callback = lambda sock, server_name, context: asked.append(server_name)
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=serve_tls, args=(listener, server_side), daemon=True).start()

    def dial(address: Address, timeout_s: float) -> socket.socket:
        assert address.ip == PUBLIC
        return socket.create_connection(listener.getsockname(), timeout=timeout_s)

    network = Network(
        resolve=lambda name, port, timeout_s: [Address(PUBLIC, port)],
        dial=dial,
        tls=lambda: ssl.create_default_context(cafile=str(pem)),
    )
    if name == "pictures.example":
        assert fetch_url(f"https://{name}/a.png", FetchPolicy(timeout_s=5), network) == b"hello"
    else:
        assert "TLS" in refusal(f"https://{name}/a.png", FetchPolicy(timeout_s=5), network)
    assert asked == [name]
    listener.close()


def serve_tls(listener: socket.socket, context: ssl.SSLContext) -> None:
    plain, _ = listener.accept()
    try:
        with context.wrap_socket(plain, server_side=True) as sock:
            sock.recv(65536)
            sock.sendall(OK)
    except OSError:
        plain.close()


def test_policy_values_are_checked() -> None:
    with pytest.raises(SettingsError, match="timeout_s=0"):
        FetchPolicy(timeout_s=0)
    with pytest.raises(SettingsError, match="max_redirects=-1"):
        FetchPolicy(max_redirects=-1)
    with pytest.raises(SettingsError, match="max_bytes=nan"):
        FetchPolicy(max_bytes=float("nan"))  # type: ignore[arg-type]


def test_the_real_resolver_knows_this_machine() -> None:
    assert Address("127.0.0.1", 80) in resolve_host("2130706433", 80, 5)
    with pytest.raises(OSError, match="not a host name"):
        resolve_host("a" * 300 + "\udcff", 80, 5)
