"""What a picture and a whole sample cost, known from headers and text before any pixel is made.

In: nothing. Out: `PictureSize` and `SampleSize`. `processor.py` makes them; `data` plans with them.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class PictureSize:
    """A picture or a frame of a video, as far as its tiles' number depends on it."""

    width: int
    height: int
    max_tiles: int
    """Tiles it may take, without the thumbnail; a frame takes one."""
    num_tiles: int
    """Tiles it takes, thumbnail included."""


@dataclass(frozen=True, kw_only=True)
class SampleSize:
    """What messages cost."""

    num_tokens: int
    num_tiles: int
    num_trained: int
    """Tokens that are labels; 0 for a prompt."""
    pictures: tuple[PictureSize, ...] = ()
    """In the order of the text."""
