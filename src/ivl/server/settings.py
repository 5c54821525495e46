"""What a server allows and where it listens, every field checked.

In: what a person gives. Out: the same; SettingsError for what cannot be. Knows no web framework and no model.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ivl.errors import SettingsError, shown

if TYPE_CHECKING:
    from ivl.session import ImageLimits, VideoLimits

MIB = 2**20
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """Where a server listens and what a request may cost."""

    host: str = "127.0.0.1"
    """Address to listen on; only this machine reaches the default one."""
    port: int = 8000
    """Port to listen on; 0 takes a free one."""
    name: str = "ivl"
    """What requests call the base model."""
    adapters: tuple[str, ...] = ()
    """What requests call the loaded adapters."""
    allow_anonymous: bool = False
    """Listen beyond this machine although no API key is set."""
    open_health: bool = False
    """Answer /health and /ready without a key."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose web pages may ask, such as https://example.org; none by default."""
    allowed_hosts: tuple[str, ...] = ()
    """Host names that requests may name; empty: the loopback names where only this machine is listened to, else all."""
    image_hosts: tuple[str, ...] = ()
    """Hosts that pictures are fetched from; none by default. Private addresses are refused always."""

    max_body_bytes: int = 32 * MIB
    """Bytes of a request."""
    max_bodies_bytes: int = 256 * MIB
    """Bytes of all requests that are being read or prepared at once."""
    max_values: int = 65_536
    """Commas of a request, in texts too: a million wrong values would take ten seconds to tell and a GB to hold."""
    max_messages: int = 512
    """Messages of a conversation."""
    max_images: int = 16
    """Pictures of a request."""
    max_image_bytes: int = 16 * MIB
    """Bytes of a picture's file."""
    max_image_pixels: int = 50_000_000
    """Width times height of a picture."""
    max_video_pixels: int = 4_000_000_000
    """Pixels of all frames of a request's videos that are decoded on the way to those that are taken: some 2,000 frames
    of 1920 by 1080, 16 seconds on two cores."""
    max_tiles: int = 64
    """Tiles of all pictures of a request, thumbnails included."""
    max_held_tiles: int = 1024
    """Tiles of all requests under way; one of 448 pixels is 2.4 MB."""
    max_tokens: int | None = None
    """Tokens that an answer may ask for; None: as many as a session has."""
    default_max_tokens: int = 512
    """Tokens of an answer, at most, where the request does not say."""
    max_n: int = 16
    """Answers to one prompt."""

    max_running: int = 128
    """Answers that the engine gives at once; the pipeline's max_batch_size."""
    max_queue: int = 128
    """Answers that may wait beyond those; more are refused with 429."""
    per_key: int = 64
    """Answers that one API key may have under way at once."""
    retry_after_s: int = 1
    """Seconds after which a refused client is told to come again."""
    prepare_threads: int = 4
    """Requests whose pictures are read at once."""
    max_connections: int = 512
    """Open connections; beyond them the one that was idle longest is closed, or the new one refused with 429."""
    head_timeout_s: float = 10.0
    """Seconds in which a request's head must have arrived, from its first byte on or from the connection's begin."""
    body_timeout_s: float = 60.0
    """Seconds in which a request must have arrived."""
    send_timeout_s: float = 60.0
    """Seconds that a client may leave a piece of its answer unread."""
    drain_timeout_s: float = 60.0
    """Seconds that running answers get after SIGTERM."""

    def __post_init__(self) -> None:
        if not isinstance(self.port, int) or not 0 <= self.port <= 65535:
            raise SettingsError(f"port={shown(self.port)} is not allowed: a whole number from 0 to 65535")
        for name, value in vars(self).items():
            if isinstance(value, int | float) and not isinstance(value, bool) and name not in ("port", "max_queue"):
                low: float = 0 if name in ("max_images", "max_tiles", "drain_timeout_s") else 1e-3
                if not low <= value < 2**40:
                    raise SettingsError(f"{name}={shown(value)} is not allowed: a number of at least {low:g}")
        if self.max_queue < 0:
            raise SettingsError(f"max_queue={shown(self.max_queue)} is not allowed: a whole number of at least 0")
        names = (self.name, *self.adapters)
        if len(set(names)) != len(names):
            raise SettingsError(f"{', '.join(names)}: model and adapters need different names")
        for origin in self.cors_origins:
            if "*" in origin or not origin.startswith(("http://", "https://")) or origin.count("/") != 2:
                raise SettingsError(f"cors_origins holds {shown(origin)}: https://host or http://host:port is allowed")

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the server."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def capacity(self) -> int:
        """Answers that may run and wait at once."""
        return self.max_running + self.max_queue

    def most_tokens(self, session_len: int) -> int:
        """Tokens that an answer may ask for, in sessions of this length."""
        return min(self.max_tokens or session_len, session_len)

    def allows_host(self, host: str, others: Collection[str] = ()) -> bool:
        """Whether a request's Host, in small letters, is a name of this server, or one of `others`.

        A page whose name was pointed at this machine (DNS rebinding) still names itself there.
        """
        allowed = {name.lower() for name in self.allowed_hosts} or (_LOOPBACK if self.is_local else None)
        name, colon, port = host.rpartition(":")
        bare = name if colon and port.isdigit() else host
        return allowed is None or bare in allowed or bare in others

    def image_limits(self) -> ImageLimits:
        """Of each picture. The session's, which is loaded only now: a bad setting is told before."""
        from ivl.session import ImageLimits

        return ImageLimits(max_bytes=self.max_image_bytes, max_pixels=self.max_image_pixels)

    def video_limits(self, num_videos: int) -> VideoLimits:
        """Of each of a request's videos: its file comes in the body, its frames are bounded as pictures are."""
        from ivl.session import VideoLimits

        return VideoLimits(
            max_bytes=self.max_body_bytes,
            max_pixels=self.max_image_pixels,
            max_decoded_pixels=self.max_video_pixels // max(1, num_videos),
        )

    def check_keys(self, has_keys: bool) -> None:
        """Raise SettingsError where strangers could ask without a key."""
        if not (has_keys or self.is_local or self.allow_anonymous):
            raise SettingsError(
                f"host={self.host!r} can be reached from other machines and no API key is set: give --api-keys FILE "
                "or the environment's IVL_API_KEYS, or say --allow-anonymous"
            )
