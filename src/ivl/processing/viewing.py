"""The pixels of a decoded picture as RGB: as a viewer shows them, or as the official code reads them.

In: a decoded PIL image of any mode. Out: a plain RGB image that keeps nothing of the file (no EXIF data, no
palette). Knows no files. Colour profiles are not applied in either reading.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from ivl.errors import ImageError
from ivl.processing.headers import read_orientation

_DEEP_GREY = {"I;16", "I;16L", "I;16B", "I;16N", "I", "F"}
_KEY_TYPES: dict[str, tuple[type, ...]] = {"P": (int, bytes), "1": (int,), "L": (int,), "RGB": (tuple,)}
_WHITE = (255, 255, 255)
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = (5, 6, 7, 8)
# A transparent grey level of a PNG is stored in the file's own depth; Pillow stretches the pixels to 8 bits,
# not the level.
_LEVEL_STRETCH = {"L;2": 85, "L;4": 17}


def to_rgb(image: Image.Image, *, as_viewed: bool) -> Image.Image:
    """The picture in RGB, a new image.

    as_viewed: upright by its EXIF orientation, transparency on white, 16-bit grey scaled to 8 bits. Else
    exactly `image.convert("RGB")`: lying as the camera was held, alpha dropped, values above 255 cut to 255.
    Raises ImageError for a mode that cannot be shown.
    """
    try:
        image = image.convert("LA") if image.mode == "La" else image  # which converts to nothing else
        rgb = _turn(_flatten(image), image) if as_viewed else _drop_alpha(image)
    except MemoryError as error:
        raise ImageError(f"a picture of {image.width} by {image.height} pixels needs too much memory") from error
    except Exception as error:  # converting may raise anything for a mode or palette that makes no sense
        raise ImageError(f"a picture of mode {image.mode!r} cannot be turned into RGB") from error
    rgb.info = {}
    return rgb


def viewed_size(image: Image.Image) -> tuple[int, int]:
    """Width and height that a picture has in `to_rgb(image, as_viewed=True)`; its pixels are not needed."""
    turned = _orientation(image) in _SIDEWAYS
    return (image.height, image.width) if turned else (image.width, image.height)


def mend_transparency(image: Image.Image) -> None:
    """Bring the transparent colour of a PNG to the depth of its decoded pixels; call it before decoding."""
    level = image.info.get("transparency")
    if not isinstance(image, PngImageFile) or not image.tile:
        return
    rawmode = image.tile[0].args
    if isinstance(level, int) and rawmode in _LEVEL_STRETCH:
        image.info["transparency"] = level * _LEVEL_STRETCH[str(rawmode)]
    elif isinstance(level, tuple) and rawmode == "RGB;16B":
        image.info["transparency"] = tuple(part >> 8 for part in level)  # Pillow keeps the high bytes


def _drop_alpha(image: Image.Image) -> Image.Image:
    """`convert("RGB")` without PIL's warning that transparency is lost: losing it is what is asked."""
    if "transparency" in image.info:
        image = image.copy()
        del image.info["transparency"]
    return image.convert("RGB")


def _flatten(image: Image.Image) -> Image.Image:
    """RGB on white."""
    key = image.info.get("transparency")
    if image.mode in _DEEP_GREY:
        return _flatten_deep_grey(image, key if isinstance(key, int) else None)
    if key is not None and not isinstance(key, _KEY_TYPES.get(image.mode, ())):
        image = image.copy()
        del image.info["transparency"]
    if not image.has_transparency_data:
        return image.convert("RGB")
    # PIL writes the transparency of a palette into the image it converts: leave the caller's alone.
    rgba = (image.copy() if image.mode in ("P", "PA") else image).convert("RGBA")
    flat = Image.new("RGB", rgba.size, _WHITE)
    flat.paste(rgba, mask=rgba.getchannel("A"))
    return flat


def _flatten_deep_grey(image: Image.Image, key: int | None) -> Image.Image:
    """16-bit grey by its full range; 32-bit whole numbers and floats by the first usual range that fits."""
    values = np.asarray(image)
    shown = _scale(values, _white_level(values, image.mode))
    if key is not None:
        shown[values == key] = 255
    return Image.fromarray(shown).convert("RGB")


def _white_level(values: NDArray[np.generic], mode: str) -> float:
    """The value that is shown as white."""
    if mode.startswith("I;16"):
        return 65535.0
    finite = values[np.isfinite(values)] if mode == "F" else values
    highest = float(finite.max()) if finite.size else 1.0
    levels = (1.0, 255.0, 65535.0) if mode == "F" else (255.0, 65535.0)
    return next((level for level in levels if highest <= level), highest)


def _scale(values: NDArray[np.generic], white: float) -> NDArray[np.uint8]:
    """Values 0..white to 0..255, rounded; in bands of rows, so that memory stays near that of the result."""
    shown = np.empty(values.shape, np.uint8)
    rows_per_band = max(1, 2**20 // max(1, values.shape[1]))
    for top in range(0, values.shape[0], rows_per_band):
        band = np.nan_to_num(values[top : top + rows_per_band].astype(np.float64), posinf=white, neginf=0.0)
        shown[top : top + rows_per_band] = np.rint(np.clip(band / white, 0.0, 1.0) * 255.0)
    return shown


def _turn(rgb: Image.Image, image: Image.Image) -> Image.Image:
    """Upright by the EXIF orientation of the picture it came from."""
    turn = _TURNS.get(_orientation(image))
    return rgb if turn is None else rgb.transpose(turn)


def _orientation(image: Image.Image) -> int:
    exif = image.info.get("exif")
    if isinstance(exif, bytes):
        return read_orientation(exif)
    try:
        text = image.info.get("Raw profile type exif")  # by ImageMagick: three lines, then hex digits
        if isinstance(text, str):
            return read_orientation(bytes.fromhex("".join(text.split("\n")[3:])))
        # Set by the caller on an image in memory. Not image.getexif(), which for a PNG decodes the pixels.
        return int(Image.Image.getexif(image).get(0x0112, 1))
    except Exception:  # an orientation that cannot be read leaves the picture as it is
        return 1
