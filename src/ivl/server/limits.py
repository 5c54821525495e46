"""What stands between a client and the engine: bounds of bodies, of the queue, of each key's share of it, of tiles.

In: ASGI's messages, names of keys. Out: bytes and places; ApiError where there is no room. All but tiles
is used on the server's event loop alone. Knows no JSON and no model.
"""

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ivl.server.errors import ApiError
from ivl.server.settings import ServerSettings

Receive = Callable[[], Awaitable[Any]]


class ClientGone(Exception):
    """Nobody waits for an answer any more."""


class Bodies:
    """Reads the bodies of requests, and bounds what all of them hold together."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self.held = 0
        """Bytes of bodies in memory."""

    @contextmanager
    def room(self) -> Iterator["Body"]:
        """A body's bytes count until the block ends."""
        body = Body(self, self._settings)
        try:
            yield body
        finally:
            body.free()


class Body:
    """One request's bytes."""

    def __init__(self, bodies: Bodies, settings: ServerSettings) -> None:
        self._bodies = bodies
        self._settings = settings
        self._num_bytes = 0

    async def read(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        """The whole body. Raises ApiError for one too large, too slow or encoded, ClientGone for one cut off."""
        most = self._settings.max_body_bytes
        if headers.get(b"content-encoding", b"identity") != b"identity":
            raise ApiError(415, "a body with a content-encoding is not read: send it as it is", code="bad_encoding")
        promised = headers.get(b"content-length", b"0")
        if promised.isdigit() and int(promised[:20]) > most:
            raise self._too_large()
        try:
            async with asyncio.timeout(self._settings.body_timeout_s):
                return await self._read(receive, most)
        except TimeoutError:
            seconds = self._settings.body_timeout_s
            raise ApiError(408, f"the request did not arrive within {seconds:g} seconds", code="timeout") from None

    def free(self) -> None:
        """The bytes are not held any more."""
        self._bodies.held -= self._num_bytes
        self._num_bytes = 0

    async def _read(self, receive: Receive, most: int) -> bytes:
        chunks = []
        while True:
            message = await receive()
            if message["type"] != "http.request":
                raise ClientGone
            chunk = message.get("body", b"")
            self._num_bytes += len(chunk)
            self._bodies.held += len(chunk)
            if self._num_bytes > most:
                raise self._too_large()
            if self._bodies.held > self._settings.max_bodies_bytes:
                raise _busy("too many large requests are under way", self._settings)
            chunks.append(chunk)
            if not message.get("more_body", False):
                break
        if sum(chunk.count(b",") for chunk in chunks) > self._settings.max_values:
            most = self._settings.max_values
            raise ApiError(400, f"the request holds more than {most} commas: it has too many values", code="too_long")
        return b"".join(chunks)

    def _too_large(self) -> ApiError:
        most = self._settings.max_body_bytes
        return ApiError(
            413, f"the body is larger than {most} bytes: send fewer or smaller pictures", code="body_too_large"
        )


class Gate:
    """Counts the answers under way: all of them, and those of each key."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._by_key: Counter[str] = Counter()

    @property
    def num_answers(self) -> int:
        """Answers that run or wait."""
        return self._by_key.total()

    @contextmanager
    def place(self, key: str, count: int, is_shared: bool) -> Iterator[None]:
        """A place for `count` answers until the block ends. is_shared: no key has a share of its own.

        Raises ApiError, 429 where there is no room now and 400 where there never is.
        """
        most = self._settings.capacity if is_shared else min(self._settings.capacity, self._settings.per_key)
        if count > most:
            raise ApiError(400, f"n={count} is more than the {most} answers that may be under way", param="n")
        if self._by_key[key] + count > most and not is_shared:
            raise _busy(
                f"this API key has {self._by_key[key]} answers under way, at most {most} may be", self._settings
            )
        if self.num_answers + count > self._settings.capacity:
            raise _busy(f"the queue is full: {self.num_answers} answers are under way", self._settings)
        self._by_key[key] += count
        try:
            yield
        finally:
            self._by_key[key] -= count
            if not self._by_key[key]:
                del self._by_key[key]


class Tiles:
    """Counts the tiles in memory, of all requests under way. Used from the threads that prepare requests, too."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self.held = 0

    def hold(self) -> "TileHold":
        """One request's share, empty yet."""
        return TileHold(self)

    def add(self, count: int) -> None:
        """Raises ApiError, 429, where there is no room. A request is never too large for an empty server."""
        with self._lock:
            if self.held and count > 0 and self.held + count > self._settings.max_held_tiles:
                raise _busy(f"the pictures under way are {self.held} tiles", self._settings)
            self.held += count


class TileHold:
    """The tiles of one request."""

    def __init__(self, tiles: Tiles) -> None:
        self._tiles = tiles
        self._count = 0

    def take(self, count: int) -> None:
        """Before they are made. Raises ApiError, 429."""
        self._tiles.add(count)
        self._count += count

    def release(self) -> None:
        """Once they are gone."""
        self._tiles.add(-self._count)
        self._count = 0


def _busy(reason: str, settings: ServerSettings) -> ApiError:
    return ApiError(429, f"{reason}: try again", code="rate_limit_exceeded", retry_after_s=settings.retry_after_s)
