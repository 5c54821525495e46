"""Shares of image tokens, laid back over the picture they were made of, and drawn.

In: a share for each image token of a picture, and how the picture was cut. Out: a map over the picture, nothing of
it lost; its sums over ninths, for words; and a picture to look at. Knows no model.

Shapes: N tiles of the picture, I = s * s image tokens of a tile, rows x columns tiles.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

Floats = npt.NDArray[np.float32]

_LONGEST = 768
"""Pixels of the drawing's longer side."""
_GLOW = (
    (0.0, (13, 8, 40)),
    (0.25, (92, 18, 110)),
    (0.5, (196, 52, 84)),
    (0.75, (247, 140, 34)),
    (1.0, (252, 245, 150)),
)
"""From dark to light through colours that stay apart for colour-blind eyes; lightness alone tells as much."""
_CLIP = 0.995
"""The map's brightest cells beyond this share of it are drawn alike: one cell must not darken all others."""


@dataclass(frozen=True, kw_only=True)
class Cut:
    """How a picture was cut into tiles and image tokens."""

    columns: int
    rows: int
    has_thumbnail: bool
    side: int
    """Image tokens of a tile in a row, s."""
    is_transposed: bool = False
    """Tokens of a tile run down its columns (the first release's pixel shuffle)."""

    @property
    def num_tokens(self) -> int:
        """Image tokens of the picture."""
        return (self.columns * self.rows + self.has_thumbnail) * self.side**2


def lay_over_picture(shares: Floats, cut: Cut) -> Floats:
    """(N * I,) -> (rows * s, columns * s), the same sum: the thumbnail's shares lie on all that each token covers."""
    assert shares.shape == (cut.num_tokens,), f"{shares.shape} shares for {cut.num_tokens} image tokens"
    tiles = shares.reshape(-1, cut.side, cut.side)
    if cut.is_transposed:
        tiles = tiles.transpose(0, 2, 1)
    sheet = tiles[: cut.columns * cut.rows].reshape(cut.rows, cut.columns, cut.side, cut.side)
    laid: Floats = sheet.transpose(0, 2, 1, 3).reshape(cut.rows * cut.side, cut.columns * cut.side)
    if cut.has_thumbnail:
        spread: Floats = np.kron(tiles[-1], np.ones((cut.rows, cut.columns), np.float32))
        laid = laid + spread / np.float32(cut.rows * cut.columns)
    return laid


def ninths(laid: Floats) -> Floats:
    """(3, 3) the map's sums over thirds of its height and width, as shares of the whole."""
    height, width = laid.shape
    fine: Floats = np.kron(laid, np.ones((3, 3), np.float32))
    sums: Floats = fine.reshape(3, height, 3, width).sum((1, 3))
    total = sums.sum()
    return sums / total if total > 0 else sums


def draw_heat(image: Image.Image, laid: Floats, *, longest: int = _LONGEST) -> Image.Image:
    """The picture as a spotlight shows it: bright and warm where the map is high, dim elsewhere; with its token cells.

    longest: pixels of the longer side of the new RGB picture.
    """
    scale = longest / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    base = np.asarray(image.convert("RGB").resize(size, Image.Resampling.LANCZOS), np.float32)
    top = max(float(np.quantile(laid, _CLIP)), float(laid.max()) / 4, 1e-12)
    level = Image.fromarray((laid / top).clip(0, 1).astype(np.float32))
    heat = np.asarray(level.resize(size, Image.Resampling.BILINEAR), np.float32).clip(0, 1)[..., None]
    grey = base @ np.array([[0.299], [0.587], [0.114]], np.float32)
    dim = 0.18 * base + 0.32 * grey + 8
    # Little attention leaves the dimmed picture as it is; much covers it, but for its light and shade.
    strength = 0.9 * np.clip((heat - 0.06) / 0.5, 0, 1) ** 0.7
    lit = _glow(heat[..., 0]) * (0.72 + 0.28 * grey / 255)
    return Image.fromarray((dim * (1 - strength) + lit * strength).clip(0, 255).astype(np.uint8))


def draw_scale(width: int = 320, height: int = 14) -> Image.Image:
    """The colours of `draw_heat` from least to most."""
    row = _glow(np.linspace(0, 1, width, dtype=np.float32))
    image = Image.fromarray(np.repeat(row[None], height, axis=0).astype(np.uint8))
    ImageDraw.Draw(image).rectangle((0, 0, width - 1, height - 1), outline=(120, 120, 120))
    return image


def _glow(level: Floats) -> Floats:
    """Levels from 0 to 1 as colours: (..., 3) from 0 to 255."""
    stops = np.array([stop for stop, _ in _GLOW])
    bands = [np.interp(level, stops, [colour[band] for _, colour in _GLOW]) for band in range(3)]
    return np.stack(bands, axis=-1).astype(np.float32)
