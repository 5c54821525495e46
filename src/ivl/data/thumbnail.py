"""A picture small enough for a report.

In: a picture from wherever a person keeps it, but from no network. Out: a small JPEG file. Knows no report.
"""

import io
from pathlib import Path

from PIL import Image

from ivl.errors import ImageError
from ivl.processing.images import load_image
from ivl.types import ImageSource

_QUALITY = 82


def thumbnail(source: ImageSource, side: int) -> bytes:
    """A JPEG file as a viewer shows the picture, its longer side at most `side` pixels.

    Raises ImageError for whatever cannot be read, and for an address: what is drawn once more is not fetched once more.
    """
    if isinstance(source, str) and "://" in source[:16]:
        raise ImageError("the picture lies on a server and is not fetched again")
    image = load_image(str(source) if isinstance(source, Path) else source)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=_QUALITY, optimize=True)
    return file.getvalue()
