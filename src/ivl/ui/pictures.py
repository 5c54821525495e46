"""Pictures as the page shows them: small, and inside the page itself, so that no route serves files.

In: PIL images. Out: data URIs. Knows no Gradio.
"""

import math
from collections.abc import Sequence

from PIL import ImageOps
from PIL.Image import Image, Resampling, new

from ivl.explain import markup


def data_uri(image: Image, side: int = 768, quality: int = 82) -> str:
    """The picture as a WebP data URI, at most `side` pixels wide and high."""
    small = image.convert("RGB")
    small.thumbnail((side, side), Resampling.LANCZOS)
    return markup.data_uri(small, quality=quality)


def thumbnail(image: Image, side: int = 112) -> str:
    """The picture, cut square and small."""
    return data_uri(ImageOps.fit(image, (side, side)), side, quality=70)


def side_by_side(frames: Sequence[Image], side: int = 192) -> Image:
    """Frames of a video in reading order, as many to a row as make the whole about twice as wide as high."""
    columns = min(len(frames), math.ceil(math.sqrt(2 * len(frames))))
    sheet = new("RGB", (columns * side, math.ceil(len(frames) / columns) * side), "white")
    for at, frame in enumerate(frames):
        sheet.paste(frame.resize((side, side)), (at % columns * side, at // columns * side))
    return sheet
