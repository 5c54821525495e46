"""How far each drawing reaches, so that its box can be known before it is painted.

In: sprites (M, 4, S, S) uint8. Out: points on each drawing's outline; the box of a drawing that is turned, mirrored
and stretched. Shapes: M sprites of S pixels a side, H points of an outline.
"""

import math

import numpy as np

DIRECTIONS = 64
"""Ways to look from; between two of them a round drawing reaches at most 0.13% of its radius further."""
_OPAQUE = 64
_AT_ONCE = 512


def outlines(sprites: np.ndarray) -> np.ndarray:
    """(M, DIRECTIONS, 2) float32: a drawing's outermost point each way, from the centre, in sprite sides."""
    turns = np.arange(DIRECTIONS) * (2 * math.pi / DIRECTIONS)
    ways = np.stack((np.cos(turns), np.sin(turns))).astype(np.float32)  # (2, DIRECTIONS)
    parts = [_outermost(sprites[start : start + _AT_ONCE], ways) for start in range(0, len(sprites), _AT_ONCE)]
    return np.concatenate(parts) / np.float32(sprites.shape[-1]) - np.float32(0.5)


def _outermost(sprites: np.ndarray, ways: np.ndarray) -> np.ndarray:
    """(m, DIRECTIONS, 2) in sprite pixels; the centre where nothing is drawn."""
    side = sprites.shape[-1]
    solid = sprites[:, 3] > _OPAQUE  # (m, S, S)
    first, last = solid.argmax(-1), side - solid[..., ::-1].argmax(-1)  # (m, S): edges of each row's pixels
    rows = np.broadcast_to(np.arange(side), first.shape)
    x = np.concatenate((first, last, first, last), 1)
    y = np.concatenate((rows, rows, rows + 1, rows + 1), 1)
    points = np.stack((x, y), -1).astype(np.float32)  # (m, 4 S, 2)
    filled = np.concatenate((solid.any(-1),) * 4, 1)
    points[~filled.any(1)] = side / 2
    filled |= ~filled.any(1, keepdims=True)
    reach = np.where(filled[..., None], points @ ways, -np.inf)  # (m, 4 S, DIRECTIONS)
    return np.take_along_axis(points, reach.argmax(1)[..., None], 1)


def bounds(
    outline: np.ndarray, side: float, angle: float, flip: bool, stretch: tuple[float, float]
) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of a drawing from its place's centre, in pixels."""
    x, y = placed(outline, side, angle, flip, stretch)
    return float(x.min()), float(y.min()), float(x.max()), float(y.max())


def placed(
    outline: np.ndarray, side: float, angle: float, flip: bool, stretch: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """x and y (H,) of an outline from its place's centre, in pixels; as `paint.place_maps` draws it."""
    cos, sin = math.cos(angle), math.sin(angle)
    grow = abs(cos) + abs(sin)
    p = outline[:, 0] * (side / (grow * stretch[0]) * (-1 if flip else 1))
    q = outline[:, 1] * (side / (grow * stretch[1]))
    return cos * p - sin * q, sin * p + cos * q
