"""Bytes of a picture -> a PIL image, within limits, by one of six decoders chosen by the first bytes.

In: bytes and limits. Out: an opened or decoded PIL image of the file's own mode; ImageError in one line for
all else. Knows no paths or URLs, and does not turn, flatten or convert pixels.

The decoders are called by name and not through `Image.open`: no rare format (EPS, PSD, FITS, ...) can be
reached by a file's content or name, and the limit on pixels is ours rather than a global of PIL that other
code in the process shares.
"""

import io
from dataclasses import dataclass

from PIL import Image, ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from ivl.errors import ImageError, SettingsError
from ivl.processing.headers import Kind, find_bomb, looks_like, sniff, trim_gif, webp_canvas

READABLE = "JPEG, PNG, WebP, GIF, BMP or TIFF"


@dataclass(frozen=True, kw_only=True)
class ImageLimits:
    """What a picture may be at most. All is checked before pixels are decoded."""

    max_bytes: int = 64 * 2**20
    """Bytes of the encoded picture."""
    max_pixels: int = 100_000_000
    """Width times height; decoding takes four bytes a pixel."""
    max_side: int = 65_535
    """Pixels of the longer side, as JPEG and GIF have it; resizing takes memory in proportion."""

    def __post_init__(self) -> None:
        for name in ("max_bytes", "max_pixels", "max_side"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise SettingsError(f"{name}={value!r} is not allowed: a whole number of at least 1")


class _Jpeg(JpegImageFile):
    """A JPEG whose EXIF data is not parsed while it is opened: see headers.py for what that can cost."""

    def _read_dpi_from_exif(self) -> None:
        return


_DECODERS: dict[Kind, type[ImageFile.ImageFile]] = {
    "JPEG": _Jpeg,
    "PNG": PngImageFile,
    "WebP": WebPImageFile,
    "GIF": GifImageFile,
    "BMP": BmpImageFile,
    "TIFF": TiffImageFile,
}


def open_picture(data: bytes, name: str, limits: ImageLimits, *, most_frames: int = 1) -> ImageFile.ImageFile:
    """Read the header of an encoded picture; its pixels are still to be decoded by `decode_frame`.

    `name` is how messages call the picture. Of a GIF, at most `most_frames` frames are kept.
    Raises ImageError if it is no picture, is damaged or above a limit.
    """
    kind = sniff(data)
    if kind is None:
        raise ImageError(f"{name} is not a picture that can be read: {looks_like(data)}; allowed: {READABLE}")
    if len(data) > limits.max_bytes:
        raise ImageError(f"{name} has {len(data)} bytes: more than max_bytes={limits.max_bytes}")
    bomb = find_bomb(data, kind)
    if bomb is None and kind == "GIF":
        trimmed = trim_gif(data, most_frames)
        data, bomb = (trimmed.data, None) if trimmed else (data, "it is cut into too many blocks")
    if bomb is not None:
        raise ImageError(f"{name} is refused: {bomb}")
    canvas = webp_canvas(data) if kind == "WebP" else None
    if canvas is not None:
        check_size(*canvas, name, limits)
    try:
        image = _DECODERS[kind](io.BytesIO(data))
    except Exception as error:  # a decoder may raise anything on bytes that are not what they say
        raise ImageError(f"{name} cannot be read as {kind}: its header is cut off or damaged") from error
    check_size(image.width, image.height, name, limits)
    if isinstance(image, TiffImageFile):
        tile_width, tile_height = (int(image.tag_v2.get(tag) or 1) for tag in (322, 323))
        check_size(tile_width, tile_height, name, limits)
    return image


def decode_frame(image: Image.Image, name: str) -> None:
    """Decode the pixels of the frame that an opened picture stands at.

    Raises ImageError when they are cut off or damaged, or memory does not suffice.
    """
    try:
        image.load()
    except MemoryError as error:
        raise ImageError(
            f"{name} cannot be decoded: {image.width} by {image.height} pixels need too much memory"
        ) from error
    except Exception as error:
        raise ImageError(f"{name} cannot be decoded: its data is cut off or damaged") from error


def check_size(width: int, height: int, name: str, limits: ImageLimits) -> None:
    """Raise ImageError if a size in pixels is above the limits or empty."""
    if width < 1 or height < 1:
        raise ImageError(f"{name} has {width} by {height} pixels: both sides must be at least 1")
    if width * height > limits.max_pixels:
        raise ImageError(
            f"{name} has {width} by {height} pixels: their product, {width * height}, is above "
            f"max_pixels={limits.max_pixels}"
        )
    if max(width, height) > limits.max_side:
        raise ImageError(f"{name} has {width} by {height} pixels: a side is longer than max_side={limits.max_side}")
