"""Which URLs and which addresses may be fetched: judgement without any connection.

In: a URL as a stranger may have written it, or a numeric address. Out: its parts, or whether it is public.
Knows no sockets and no names (resolving is fetch.py's).
"""

import ipaddress
import re
import urllib.parse
from dataclasses import dataclass

from ivl.errors import ImageError

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
# What older versions of `ipaddress` call global, and Azure's own service, which looks like any other.
_CLOSED = tuple(map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "3fff::/20", "168.63.129.16/32")))
_DEFAULT_PORTS = {"http": 80, "https": 443}
# What parsers of URLs are known to disagree about: backslashes, spaces, control characters.
_DISPUTED = re.compile(r"[\\\s\x00-\x20\x7f]")


@dataclass(frozen=True)
class Target:
    """A URL taken apart."""

    scheme: str
    host: str
    port: int
    path: str
    """Path and query, percent-encoded."""
    shown: str
    """The URL as messages show it."""

    @property
    def default_port(self) -> int:
        return _DEFAULT_PORTS[self.scheme]


def parse_url(url: str, allowed_hosts: tuple[str, ...] | None) -> Target:
    """The parts of an http or https URL; the very parts that are then resolved, dialled and named in Host.

    Raises ImageError for other schemes, for what is no plain URL, and for hosts that are not allowed.
    """
    shown = shown_url(url)
    scheme, _, rest = url.partition("://")
    if scheme.lower() not in _DEFAULT_PORTS:
        raise ImageError(f"{shown} is not fetched: only http:// and https:// URLs are allowed")
    try:
        if _DISPUTED.search(url):
            raise ValueError("disputed characters")
        parts = urllib.parse.urlsplit(f"{scheme}://{_to_ascii(rest)}")
        host, port = parts.hostname, parts.port
        if not host or parts.username is not None or port == 0:
            raise ValueError("no host")
    except ValueError as error:
        raise ImageError(
            f"{shown} is not a valid URL: https://host/path without user name, spaces or backslashes"
        ) from error
    if allowed_hosts is not None and host.rstrip(".") not in {name.rstrip(".").lower() for name in allowed_hosts}:
        raise ImageError(f"{shown} is not fetched: its host is not among allowed_hosts")
    path = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
    return Target(parts.scheme, host, port or _DEFAULT_PORTS[parts.scheme], path, shown)


def shown_url(url: str) -> str:
    """A URL as messages show it: without query, user name and password, at most 100 characters."""
    shown = re.sub(r"//[^/?#]*@", "//", re.split(r"[?#]", url, maxsplit=1)[0])
    return repr(shown if len(shown) <= 100 else shown[:97] + "...")


def is_public(ip: str) -> bool:
    """Whether a numeric address is on the public internet. An IPv4 address inside an IPv6 one counts."""
    try:
        address = ipaddress.ip_address(ip.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        if address not in _PUBLIC_V6 or address.teredo is not None:
            return False
    if any(address in network for network in _CLOSED if network.version == address.version):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def _to_ascii(rest: str) -> str:
    """Host in IDNA, the rest percent-encoded, as browsers send them. Raises ValueError."""
    end = next((idx for idx, char in enumerate(rest) if char in "/?#"), len(rest))
    host, tail = rest[:end], rest[end:]
    if not host.isascii():
        host = host.encode("idna").decode("ascii")
        if re.search(r"[/?#@:\[\]\\]", host.rpartition(":")[0] or host):
            raise ValueError("a character of the host becomes a separator")
    return host + urllib.parse.quote(tail, safe="!#$%&'()*+,/:;=?@[]~")
