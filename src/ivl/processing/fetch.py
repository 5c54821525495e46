"""Fetching a URL that somebody else may have written, without becoming their way into the local network.

In: an http or https URL and a policy. Out: the bytes of the answer. Knows no pictures.

A name is resolved once for each hop; all its addresses must be public; the connection goes to exactly the
address that was checked, while Host and the TLS name stay those of the URL. So neither an odd spelling of an
address, nor two parsers that disagree, nor a name that changes its answer, nor a redirect leads elsewhere.
Proxies named in the environment are not used: a proxy would resolve the name again.
"""

import http.client
import io
import socket
import ssl
import threading
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ivl.errors import ImageError, SettingsError
from ivl.processing.urls import Target, is_public, parse_url, shown_url

__all__ = ["Address", "FetchPolicy", "Network", "fetch_url"]

_REDIRECTS = {301, 302, 303, 307, 308}
_HEADERS = {
    "Accept": "image/*,*/*;q=0.5",
    "Accept-Encoding": "identity",
    "Connection": "close",
    "User-Agent": "ivl",
}
_CHUNK = 65536


@dataclass(frozen=True, kw_only=True)
class FetchPolicy:
    """What may be fetched, and how long and large an answer may be."""

    enabled: bool = True
    """False: fetch nothing at all."""
    allow_private: bool = False
    """Also fetch from this machine and the local network."""
    allowed_hosts: tuple[str, ...] | None = None
    """Only these hosts; None: all."""
    max_bytes: int = 64 * 2**20
    """Bytes of an answer at most."""
    max_redirects: int = 3
    """Redirects followed at most."""
    timeout_s: float = 20.0
    """Seconds for everything together: names, all redirects, the answer."""
    read_timeout_s: float = 10.0
    """Seconds without a byte."""

    def __post_init__(self) -> None:
        for name, low in (
            ("max_bytes", 1),
            ("max_redirects", 0),
            ("timeout_s", 1e-3),
            ("read_timeout_s", 1e-3),
        ):
            value = getattr(self, name)
            if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value < 2**63:
                raise SettingsError(f"{name}={value!r} is not allowed: a number of at least {low}")


@dataclass(frozen=True)
class Address:
    """Where a connection goes: a numeric address and a port."""

    ip: str
    port: int


def resolve_host(host: str, port: int, timeout_s: float) -> list[Address]:
    """All addresses of a host, numeric in any spelling or by name. Raises OSError, also when out of time."""
    outcome: list[list[Address] | OSError] = []

    def look_up() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            outcome.append([Address(str(entry[4][0]), port) for entry in found])
        except (OSError, ValueError) as error:
            outcome.append(error if isinstance(error, OSError) else OSError("not a host name"))

    # getaddrinfo knows no time limit.
    worker = threading.Thread(target=look_up, daemon=True)
    worker.start()
    worker.join(timeout_s)
    if not outcome:
        raise TimeoutError("name resolution took too long")
    if isinstance(outcome[0], OSError):
        raise outcome[0]
    return outcome[0]


def dial_address(address: Address, timeout_s: float) -> socket.socket:
    """A TCP connection to a numeric address. Raises OSError."""
    return socket.create_connection((address.ip, address.port), timeout=timeout_s)


@dataclass(frozen=True, kw_only=True)
class Network:
    """The three ways in which fetching touches the world, so that tests can stand in for them."""

    resolve: Callable[[str, int, float], list[Address]] = resolve_host
    dial: Callable[[Address, float], socket.socket] = dial_address
    tls: Callable[[], ssl.SSLContext] = ssl.create_default_context


def fetch_url(url: str, policy: FetchPolicy, network: Network | None = None) -> bytes:
    """The body of the answer to GET.

    Raises ImageError if the URL, an address or a redirect is not allowed, the answer is no success, too large
    or too slow, or the host cannot be reached. Messages hold the URL without its query, and no addresses.
    """
    if not policy.enabled:
        raise ImageError(f"{shown_url(url)} is not fetched: fetching is switched off; give the picture itself")
    fetch = _Fetch(policy=policy, network=network or Network(), deadline=time.monotonic() + policy.timeout_s)
    current = url
    for _ in range(policy.max_redirects + 1):
        answer = fetch.get(parse_url(current, policy.allowed_hosts))
        if isinstance(answer, bytes):
            return answer
        current = urllib.parse.urljoin(current, answer.location)
    raise ImageError(f"{shown_url(url)} was redirected more than max_redirects={policy.max_redirects} times")


@dataclass(frozen=True)
class _Redirect:
    location: str


@dataclass(frozen=True, kw_only=True)
class _Fetch:
    """Requests one after the other, under one deadline."""

    policy: FetchPolicy
    network: Network
    deadline: float

    def get(self, target: Target) -> "bytes | _Redirect":
        """The body, or where a redirect leads."""
        try:
            with self._connect(target) as sock:
                connection = http.client.HTTPConnection(target.host, target.port)
                connection.default_port = target.default_port  # the port that Host leaves out
                connection.sock = _TimedSocket(sock, self)
                connection.request("GET", target.path, headers=_HEADERS)
                return self._read(connection.getresponse(), target)
        except ImageError:
            raise
        except TimeoutError as error:
            limits = f"timeout_s={self.policy.timeout_s}, read_timeout_s={self.policy.read_timeout_s}"
            raise ImageError(f"{target.shown} was not fetched in time: {limits}") from error
        except ssl.SSLError as error:
            raise ImageError(f"{target.shown} was not fetched: its TLS certificate or connection is bad") from error
        except (http.client.HTTPException, ValueError) as error:
            raise ImageError(f"{target.shown} was not fetched: the answer is cut off or no HTTP") from error
        except OSError as error:
            raise ImageError(f"{target.shown} was not fetched: the host cannot be reached") from error

    def seconds_left(self) -> float:
        """Until the deadline; raises TimeoutError after it."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("deadline")
        return left

    def wait_s(self) -> float:
        """Seconds that the next step may take."""
        return min(self.seconds_left(), self.policy.read_timeout_s)

    def _connect(self, target: Target) -> socket.socket:
        last_error: OSError = OSError("no address")
        for address in self._checked_addresses(target):
            try:
                plain = self.network.dial(address, self.wait_s())
            except OSError as error:
                last_error = error
                continue
            if target.scheme == "http":
                return plain
            try:
                plain.settimeout(self.wait_s())
                return self.network.tls().wrap_socket(plain, server_hostname=target.host.rstrip("."))
            except BaseException:
                plain.close()
                raise
        raise last_error

    def _checked_addresses(self, target: Target) -> list[Address]:
        try:
            addresses = self.network.resolve(target.host, target.port, self.wait_s())
        except TimeoutError:
            raise
        except OSError as error:
            raise ImageError(f"{target.shown} was not fetched: the name of its host is not known") from error
        if not self.policy.allow_private and not all(is_public(address.ip) for address in addresses):
            raise ImageError(
                f"{target.shown} is not fetched: its address is not on the public internet; "
                "FetchPolicy(allow_private=True) would allow it"
            )
        return addresses

    def _read(self, response: http.client.HTTPResponse, target: Target) -> "bytes | _Redirect":
        location = response.getheader("Location")
        if response.status in _REDIRECTS and location:
            return _Redirect(location)
        if response.status != 200:
            raise ImageError(f"{target.shown} was not fetched: the host answered with status {response.status}")
        promised = response.length or 0
        body = bytearray()
        while promised <= self.policy.max_bytes and len(body) <= self.policy.max_bytes:
            chunk = response.read(_CHUNK)
            if not chunk:
                break
            body += chunk
        if max(promised, len(body)) > self.policy.max_bytes:
            raise ImageError(f"{target.shown} is larger than max_bytes={self.policy.max_bytes}")
        if len(body) < promised:
            raise ImageError(f"{target.shown} was not fetched: the answer is cut off")
        return bytes(body)


@dataclass(frozen=True)
class _TimedSocket:
    """What http.client needs of a socket, with the time limit set anew before every read and write.

    A limit for each read alone would let a host send one byte every few seconds for ever.
    """

    sock: socket.socket
    fetch: _Fetch

    def sendall(self, data: Any) -> None:
        self.sock.settimeout(self.fetch.wait_s())
        self.sock.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        assert mode == "rb", f"http.client reads in mode {mode}"
        return io.BufferedReader(_TimedReader(self))

    def close(self) -> None:
        """http.client closes before it has read the body; the socket is closed by who opened it."""


class _TimedReader(io.RawIOBase):
    def __init__(self, timed: _TimedSocket) -> None:
        self._timed = timed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._timed.sock.settimeout(self._timed.fetch.wait_s())
        return self._timed.sock.recv_into(buffer)
