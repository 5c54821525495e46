"""Safe reading of a picture from wherever a person keeps it.

In: a path, URL, data URI, encoded bytes or PIL image. Out: a plain RGB PIL image, decoded. Knows no tiles and
no prompts. Everything that is wrong with the source ends in one ImageError: see decoding.py for the limits,
fetch.py for addresses.
"""

import base64
import binascii
import hashlib
import json
import os
import re
import stat
import urllib.parse
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from ivl.errors import ImageError
from ivl.processing.decoding import ImageLimits, check_size, decode_frame, open_picture
from ivl.processing.fetch import FetchPolicy, fetch_url
from ivl.processing.headers import has_late_orientation
from ivl.processing.urls import shown_url
from ivl.processing.viewing import mend_transparency, to_rgb, viewed_size
from ivl.types import ImageSource

__all__ = [
    "ImageLimits",
    "content_digest",
    "decode_data_uri",
    "load_image",
    "open_file",
    "picture_size",
    "read_file",
    "shown_path",
]

_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+:")
_FETCHED = ("http:", "https:", "file:", "ftp:")


def load_image(
    source: ImageSource,
    as_viewed: bool = True,
    *,
    limits: ImageLimits | None = None,
    fetch_policy: FetchPolicy | None = None,
    allow_paths: bool = True,
) -> Image.Image:
    """The picture in RGB, decoded; of an animation, the first frame.

    source: a path, an http(s) URL, a data URI, the bytes of a file, or a PIL image (which is left as it is).
    as_viewed: upright by its EXIF orientation, transparency on white, 16-bit grey scaled to 8 bits. False:
    the reading of the official code, equal to `PIL.Image.open(file).convert("RGB")`, which ignores all three.
    limits: bytes, pixels and sides at most. fetch_policy: which addresses a URL may name; by default public
    ones only (`FetchPolicy(allow_private=True)` for a server of your own). allow_paths: False refuses paths,
    for sources that come from strangers.

    Raises ImageError, in one line, for whatever cannot be read or is refused.
    """
    limits = limits or ImageLimits()
    if isinstance(source, Image.Image):
        name, image = _accept(source, limits)
    else:
        policy = fetch_policy or FetchPolicy(max_bytes=limits.max_bytes)
        name, data = _read(source, limits, policy, allow_paths)
        image = open_picture(data, name, limits)
        mend_transparency(image)
    decode_frame(image, name)
    return to_rgb(image, as_viewed=as_viewed)


def picture_size(source: ImageSource, as_viewed: bool = True, *, limits: ImageLimits | None = None) -> tuple[int, int]:
    """(width, height) of what `load_image` gives, from the file's header: in all but rare files no pixel is decoded.

    A picture whose header is sound and whose pixels are damaged has a size, too. Otherwise errors as `load_image`.
    """
    limits = limits or ImageLimits()
    if isinstance(source, Image.Image):
        name, image = _accept(source, limits)
        decode_frame(image, name)  # nothing to do where it is decoded
    else:
        name, data = _read(source, limits, FetchPolicy(max_bytes=limits.max_bytes), allow_paths=True)
        image = open_picture(data, name, limits)
        # Pillow turns a TIFF while it decodes, and reads the end of a PNG only then.
        is_turned = image.format == "TIFF" and viewed_size(image) != image.size
        if is_turned or (image.format == "PNG" and as_viewed and has_late_orientation(data)):
            decode_frame(image, name)
    return viewed_size(image) if as_viewed else image.size


def content_digest(image: Image.Image, **options: str | int | float | bool | None) -> str:
    """SHA-256 (hex) over mode, size, pixels and palette of a picture, and the options it is processed with.

    For caches: pictures of equal bytes but other shape, palette or options have different digests.
    """
    palette = bytes(image.getpalette("RGBA") or []) if image.mode in ("P", "PA") else b""
    head = {
        "mode": image.mode,
        "size": image.size,
        "palette": palette.hex(),
        "transparency": repr(image.info.get("transparency")),
        "options": options,
    }
    encoded = json.dumps(head, sort_keys=True).encode()
    digest = hashlib.sha256(len(encoded).to_bytes(8, "little"))
    digest.update(encoded)
    digest.update(image.tobytes())
    return digest.hexdigest()


def read_file(path: Path, name: str, max_bytes: int) -> bytes:
    """The bytes of a regular file. Raises ImageError for what is no file, unreadable or too large."""
    with open_file(path, name) as file:
        size = os.fstat(file.fileno()).st_size
        data = file.read(min(size, max_bytes) + 1)
    if len(data) > max_bytes:
        raise ImageError(f"{name} has {size} bytes: more than max_bytes={max_bytes}")
    return data


def open_file(path: Path, name: str) -> BinaryIO:
    """A regular file, opened. Raises ImageError for folders, devices, pipes and what cannot be opened."""
    try:
        mode = path.stat().st_mode  # before opening: opening some devices does something
        file = _open_regular(path) if stat.S_ISREG(mode) else None
    except FileNotFoundError as error:
        raise ImageError(f"{name} does not exist: check the path") from error
    except PermissionError as error:
        raise ImageError(f"{name} may not be read: no permission") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a path"
        raise ImageError(f"{name} cannot be read: {reason}") from error
    if file is None:
        kind = "a folder: name a file in it" if stat.S_ISDIR(mode) else "not a file but a device, pipe or socket"
        raise ImageError(f"{name} is {kind}")
    return file


def _open_regular(path: Path) -> BinaryIO | None:
    """None if the path has become something else since it was looked at."""
    # Without waiting: opening a named pipe would block until somebody writes.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        return None
    return os.fdopen(handle, "rb")


def shown_path(path: str) -> str:
    """A path as messages show it, at most 100 characters."""
    return repr(path if len(path) <= 100 else path[:60] + "..." + path[-37:])


def _accept(image: Image.Image, limits: ImageLimits) -> tuple[str, Image.Image]:
    """How messages call a picture in memory, and the picture; its size is checked."""
    name = f"the PIL image of mode {image.mode!r}"
    check_size(image.width, image.height, name, limits)
    return name, image


def _read(source: object, limits: ImageLimits, policy: FetchPolicy, allow_paths: bool) -> tuple[str, bytes]:
    """How messages call the source, and its bytes."""
    if isinstance(source, bytes | bytearray | memoryview):
        return "the picture given as bytes", bytes(source)
    if isinstance(source, str) and source[:5].lower() == "data:":
        return "the picture in the data URI", decode_data_uri(source, limits.max_bytes)
    if isinstance(source, str) and _is_url(source):
        return shown_url(source), fetch_url(source, policy)
    if not isinstance(source, str | os.PathLike):
        raise ImageError(
            f"a picture cannot be of type {type(source).__name__}: "
            "allowed are a path, URL, data URI, bytes or PIL image"
        )
    path = os.fspath(source)
    if not isinstance(path, str) or not path:
        raise ImageError(f"{path!r} is not a path: name a picture")
    if not allow_paths:
        raise ImageError("paths are not allowed here: give an http(s) URL or a data URI")
    name = shown_path(path)
    return name, read_file(Path(path), name, limits.max_bytes)


def _is_url(text: str) -> bool:
    scheme = _SCHEME.match(text)
    return scheme is not None and (text[scheme.end() :].startswith("//") or scheme[0].lower() in _FETCHED)


def decode_data_uri(uri: str, max_bytes: int, kinds: tuple[str, ...] = ("image/png", "image/")) -> bytes:
    """The bytes in `data:image/...;base64,...`. Raises ImageError if they are something else or broken.

    kinds: what its media type may begin with, after an example of one.
    """
    head, comma, body = uri[5:].partition(",")
    kind, *parameters = head.split(";")
    if not comma or not kind.strip().lower().startswith(kinds[1:]):
        what = kinds[1].strip("/")
        raise ImageError(f"data URI of kind {head[:40]!r} is not allowed: data:{kinds[0]};base64,... or another {what}")
    if len(body) > 4 * max_bytes:
        raise ImageError(f"the data URI has {len(body)} characters: what is in it is above max_bytes={max_bytes}")
    data = urllib.parse.unquote_to_bytes(body)
    if "base64" not in (parameter.strip().lower() for parameter in parameters):
        return data
    digits = b"".join(data.split()).rstrip(b"=")
    try:
        return base64.b64decode(digits + b"=" * (-len(digits) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ImageError("the data URI is not valid base64: what is in it cannot be read") from error
