"""The door of the page: who may come in, by which routes, with how many bytes; and what browsers are told about it.

In: every request, before Gradio sees it. Out: the same, or a refusal. ASGI middleware. Gradio has routes that write
files, serve files, fetch addresses and call components; this page needs none of them, and they are not let through.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

from ivl.server.keys import Keys
from ivl.server.settings import ServerSettings

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "ivl_visitor"
API = "/gradio_api"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
_HASH = re.compile(r"[A-Za-z0-9_-]{1,64}")
_FILE = re.compile(r"/(?:assets|static)/[A-Za-z0-9_./@-]+")
_GET = {"/", "/config", "/theme.css", "/favicon.ico", "/robots.txt", f"{API}/info", f"{API}/startup-events",
        f"{API}/theme.css", f"{API}/app_id", f"{API}/queue/data"}  # fmt: skip
_POST = {f"{API}/queue/join", f"{API}/run/predict", f"{API}/cancel", f"{API}/reset"}
_HEARTBEAT = f"{API}/heartbeat/"
_SMALL = 2**16
_MOST_HASHES = 10_000

_POLICY = (
    # Gradio's own components and its templates need inline scripts and evaluation; nothing may come from elsewhere.
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self' data:; connect-src 'self'; object-src 'none'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
}


class Refused(Exception):
    """This request is not let in."""

    def __init__(self, status: int, reason: str, headers: Iterable[tuple[str, str]] = ()) -> None:
        super().__init__(reason)
        self.status, self.reason, self.headers = status, reason, tuple(headers)


class Front:
    """Wraps Gradio's app, which is mounted at `path` ("" for the root)."""

    def __init__(self, app: App, settings: ServerSettings, keys: Keys | None = None, path: str = "") -> None:
        self._app = app
        self._settings = settings
        self._keys = keys or Keys()
        self._path = path
        self._held = 0
        self._owners: OrderedDict[str, str] = OrderedDict()
        self.extra_hosts: set[str] = set()
        """Names by which a tunnel reaches the page."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        held = 0
        try:
            headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
            self._check_comer(headers)
            route = self._route(scope)
            cookie, visitor = self._visitor(headers)
            self._check_session(route, scope, visitor)
            body = b""
            if scope["method"] == "POST":
                most = self._settings.max_body_bytes if route.endswith(("/join", "/predict")) else _SMALL
                body = await self._body(headers, receive, most)
                held = len(body)
            await self._app(self._passed(scope, visitor), _replay(body, receive), _telling(send, cookie, route))
        except Refused as refusal:
            await _refuse(send, refusal)
        finally:
            self._held -= held

    def _check_comer(self, headers: dict[bytes, str]) -> None:
        """Raise Refused for whoever has no key, and for pages of other sites."""
        host = headers.get(b"host", "").lower()
        if not self._settings.allows_host(host, self.extra_hosts):
            raise Refused(403, "the request's Host is not one of this page's")
        origin = headers.get(b"origin", "").lower()
        if origin and origin not in {f"http://{host}", f"https://{host}"}:
            raise Refused(403, "pages of this Origin may not ask this one")
        if headers.get(b"sec-fetch-site") == "cross-site" and headers.get(b"sec-fetch-mode") != "navigate":
            raise Refused(403, "other sites may not ask this page")
        if self._keys.owner(f"Bearer {_password(headers.get(b'authorization', ''))}") is None:
            ask = ("www-authenticate", 'Basic realm="ivl: any name, and an API key as the password"')
            raise Refused(401, "this page needs an API key as the password", [ask])

    def _route(self, scope: Scope) -> str:
        """The path below the mount. Raises Refused for all that the page does not need."""
        path = scope["path"]
        if not path.startswith(self._path):
            raise Refused(404, "there is no such page here")
        route = path[len(self._path) :] or "/"
        if scope["method"] in ("GET", "HEAD"):
            is_file = bool(_FILE.fullmatch(route)) and ".." not in route
            if route in _GET or is_file or (route.startswith(_HEARTBEAT) and _HASH.fullmatch(route[len(_HEARTBEAT) :])):
                return route
        elif scope["method"] == "POST" and route.rstrip("/") in _POST:
            return route.rstrip("/")
        raise Refused(403, "this page has no such route, and serves no files but its own")

    def _visitor(self, headers: dict[bytes, str]) -> tuple[str | None, str]:
        """The cookie to set, where the browser has none, and who it is."""
        try:
            given = SimpleCookie(headers.get(b"cookie", "")[:8192]).get(COOKIE)
        except CookieError:
            given = None
        if given is not None and _TOKEN.fullmatch(given.value):
            return None, given.value
        token = secrets.token_urlsafe(32)
        attributes = f"Path={self._path or '/'}; HttpOnly; SameSite=Strict"
        return f"{COOKIE}={token}; {attributes}", token

    def _check_session(self, route: str, scope: Scope, visitor: str) -> None:
        """A session belongs to the visitor who came with it first. Raises Refused for others."""
        name = ""
        if route.startswith(_HEARTBEAT):
            name = route[len(_HEARTBEAT) :]
        elif route == f"{API}/queue/data":
            query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
            name = (query.get("session_hash") or [""])[0]
        if not name:
            return
        owner = self._owners.setdefault(name, visitor)
        self._owners.move_to_end(name)
        if len(self._owners) > _MOST_HASHES:
            self._owners.popitem(last=False)
        if owner != visitor:
            raise Refused(403, "this session is another visitor's")

    async def _body(self, headers: dict[bytes, str], receive: Receive, most: int) -> bytes:
        """The whole body, within size and time. Raises Refused."""
        promised = headers.get(b"content-length", "0")
        if promised.isdigit() and int(promised[:20]) > most:
            raise Refused(413, f"the request is larger than {most} bytes: send fewer or smaller pictures")
        if not headers.get(b"content-type", "").startswith("application/json"):
            raise Refused(415, "only JSON is read here")
        chunks, size = [], 0
        try:
            async with asyncio.timeout(self._settings.body_timeout_s):
                while True:
                    message = await receive()
                    if message["type"] != "http.request":
                        raise Refused(400, "the request was cut off")
                    chunk = message.get("body", b"")
                    size += len(chunk)
                    self._held += len(chunk)
                    if size > most:
                        raise Refused(413, f"the request is larger than {most} bytes: send fewer or smaller pictures")
                    if self._held > self._settings.max_bodies_bytes:
                        raise Refused(429, "too many large requests are under way: try again")
                    chunks.append(chunk)
                    if not message.get("more_body", False):
                        return b"".join(chunks)
        except (Refused, TimeoutError) as error:
            self._held -= size
            if isinstance(error, TimeoutError):
                raise Refused(408, "the request did not arrive in time") from None
            raise

    def _passed(self, scope: Scope, visitor: str) -> Scope:
        """What Gradio sees: no headers by which it could be told to ask elsewhere, and the visitor's cookie."""
        kept = [
            (name, value)
            for name, value in scope["headers"]
            if not name.startswith(b"x-") and name not in (b"cookie", b"authorization", b"forwarded")
        ]
        return {**scope, "headers": [*kept, (b"cookie", f"{COOKIE}={visitor}".encode())]}


def _replay(body: bytes, receive: Receive) -> Receive:
    is_told = False

    async def replay() -> Any:
        nonlocal is_told
        if not is_told:
            is_told = True
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return replay


def _telling(send: Send, cookie: str | None, route: str) -> Send:
    async def telling(message: Any) -> None:
        if message["type"] == "http.response.start":
            own = {**HEADERS, "cache-control": "no-store"} if not _FILE.fullmatch(route) else HEADERS
            kept = [(name, value) for name, value in message["headers"] if name.decode("latin-1").lower() not in own]
            added = [(name.encode(), value.encode()) for name, value in own.items()]
            if cookie is not None and route == "/":
                added.append((b"set-cookie", cookie.encode()))
            message = {**message, "headers": [*kept, *added]}
        await send(message)

    return telling


async def _refuse(send: Send, refusal: Refused) -> None:
    body = f"{refusal.reason}\n".encode()
    headers = {**HEADERS, "content-type": "text/plain; charset=utf-8", "content-length": str(len(body))}
    raw = [(name.encode(), value.encode()) for name, value in (*headers.items(), *refusal.headers)]
    await send({"type": "http.response.start", "status": refusal.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


def _password(authorization: str) -> str:
    """The password of Basic, or the key of Bearer."""
    scheme, _, given = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return given
    try:
        return base64.b64decode(given, validate=True).decode("utf-8", "replace").partition(":")[2]
    except (binascii.Error, ValueError):
        return ""
