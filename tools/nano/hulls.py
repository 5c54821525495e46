"""How far each drawing reaches, so that its box can be known before it is painted.

In: sprites (M, 4, S, S) uint8. Out: points on each drawing's outline; the box of a drawing that is turned, mirrored
and stretched. Shapes: M sprites of S pixels a side, H points of an outline.
"""

import math

import numpy as np

EVERY = 4
"""Rows between outline points, in pixels."""
_OPAQUE = 64


def outlines(sprites: np.ndarray) -> np.ndarray:
    """(M, H, 2) float32: outermost opaque points of some rows, from the centre, in sprite sides."""
    side = sprites.shape[-1]
    solid = sprites[:, 3, ::EVERY] > _OPAQUE  # (M, rows, S)
    first, last = solid.argmax(-1), side - solid[..., ::-1].argmax(-1)  # (M, rows)
    rows = np.broadcast_to(np.arange(0, side, EVERY) + 0.5, first.shape)
    points = np.stack((np.concatenate((first, last), 1), np.concatenate((rows, rows), 1)), -1).astype(np.float32)
    used = np.concatenate((solid.any(-1),) * 2, 1)
    for sprite, filled in zip(points, used, strict=True):  # rows with nothing in them repeat one that has
        sprite[~filled] = sprite[filled][0] if filled.any() else side / 2
    return points / side - 0.5


def bounds(
    outline: np.ndarray, side: float, angle: float, flip: bool, stretch: tuple[float, float]
) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of a drawing from its place's centre, in pixels; as `paint.place_maps` draws it."""
    cos, sin = math.cos(angle), math.sin(angle)
    grow = abs(cos) + abs(sin)
    p = outline[:, 0] * (side / (grow * stretch[0]) * (-1 if flip else 1))
    q = outline[:, 1] * (side / (grow * stretch[1]))
    x, y = cos * p - sin * q, sin * p + cos * q
    return float(x.min()), float(y.min()), float(x.max()), float(y.max())
