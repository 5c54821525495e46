"""Colour names: drawing a colour of a given name, and naming the one colour of a drawing.

In: names of `wording.COLOURS`, random numbers, sprites. Out: RGB in 0..1, names. Regions lie well inside each name.
"""

import colorsys
import random

import numpy as np
from tools.nano.wording import COLOURS

NAMES = tuple(COLOURS)
# name: hue range (degrees, may go below 0), saturation range, value range
REGIONS = {
    "white": ((0, 360), (0.0, 0.03), (0.95, 1.0)),
    "black": ((0, 360), (0.0, 0.3), (0.0, 0.13)),
    "gray": ((0, 360), (0.0, 0.05), (0.35, 0.78)),
    "red": ((-8, 8), (0.65, 1.0), (0.6, 1.0)),
    "orange": ((22, 36), (0.6, 1.0), (0.85, 1.0)),
    "yellow": ((48, 61), (0.4, 1.0), (0.88, 1.0)),
    "green": ((90, 155), (0.3, 1.0), (0.35, 1.0)),
    "blue": ((198, 245), (0.35, 1.0), (0.4, 1.0)),
    "purple": ((265, 292), (0.3, 0.9), (0.4, 0.95)),
    "pink": ((318, 346), (0.2, 0.65), (0.9, 1.0)),
    "brown": ((14, 32), (0.45, 0.85), (0.28, 0.55)),
}
PASTEL = {
    "yellow": ((48, 61), (0.18, 0.4), (0.95, 1.0)),
    "green": ((95, 150), (0.14, 0.3), (0.88, 1.0)),
    "blue": ((200, 235), (0.12, 0.35), (0.92, 1.0)),
    "purple": ((262, 288), (0.12, 0.3), (0.9, 1.0)),
    "pink": ((325, 350), (0.1, 0.22), (0.96, 1.0)),
}


def draw_colour(name: str, rng: random.Random, pastel: bool = False) -> tuple[float, float, float]:
    """A random RGB of a colour's name."""
    region = PASTEL[name] if pastel and name in PASTEL else REGIONS[name]
    hue, saturation, value = (rng.uniform(*bounds) for bounds in region)
    return colorsys.hsv_to_rgb(hue % 360 / 360, saturation, value)


def dominant_colours(sprites: np.ndarray, share: float = 0.62) -> np.ndarray:
    """(M, 4, S, S) uint8 -> (M,) index into NAMES of the colour that covers `share` of a drawing, or -1."""
    found = np.full(len(sprites), -1)
    for start in range(0, len(sprites), 512):
        part = sprites[start : start + 512, :, ::5, ::5].astype(np.float32) / 255
        names = _name_pixels(part[:, :3].transpose(0, 2, 3, 1))
        opaque = part[:, 3] > 0.5
        total = opaque.sum((1, 2)).clip(1)
        shares = np.stack([((names == idx) & opaque).sum((1, 2)) / total for idx in range(len(NAMES))], 1)
        best = shares.argmax(1)
        found[start : start + len(part)] = np.where(shares.max(1) >= share, best, -1)
    return found


def mean_colours(sprites: np.ndarray) -> np.ndarray:
    """(M, 4, S, S) uint8 -> (M, 3) mean RGB in 0..1 of the opaque pixels."""
    means = []
    for start in range(0, len(sprites), 512):
        part = sprites[start : start + 512, :, ::5, ::5].astype(np.float32) / 255
        weight = part[:, 3:].clip(1e-3)
        means.append((part[:, :3] * weight).sum((2, 3)) / weight.sum((2, 3)))
    return np.concatenate(means)


def _name_pixels(rgb: np.ndarray) -> np.ndarray:
    """(..., 3) RGB -> index into NAMES, -1 where no name fits well."""
    high, low = rgb.max(-1), rgb.min(-1)
    spread = np.maximum(high - low, 1e-6)
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    hue = (
        np.where(
            high == red,
            (green - blue) / spread % 6,
            np.where(high == green, (blue - red) / spread + 2, (red - green) / spread + 4),
        )
        * 60
    )
    saturation = np.where(high > 0, (high - low) / np.maximum(high, 1e-6), 0)
    names = np.full(hue.shape, -1)
    bands = {
        "red": (345, 372), "orange": (18, 40), "yellow": (40, 66), "green": (75, 168), "blue": (190, 250),
        "purple": (255, 300), "pink": (305, 348),
    }  # fmt: skip
    for name, (start, stop) in bands.items():
        inside = ((hue >= start) & (hue < stop)) | (hue + 360 < stop)
        names[inside & (saturation > 0.25) & (high > 0.35)] = NAMES.index(name)
    warm = (hue < 40) | (hue > 350)
    names[warm & (saturation > 0.3) & (high > 0.18) & (high < 0.62) & ((hue > 10) & (hue < 40))] = NAMES.index("brown")
    names[(saturation < 0.12) & (high > 0.88)] = NAMES.index("white")
    names[(saturation < 0.12) & (high > 0.3) & (high <= 0.82)] = NAMES.index("gray")
    names[high < 0.2] = NAMES.index("black")
    return names
