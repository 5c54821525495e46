"""Squares of scenes lie on the canvas and beside each other; outlines reach as far as drawings do."""

import math
import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tools.nano.hulls import bounds, outlines
from tools.nano.places import place_squares

from nano_world import SIDE, sprites


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 9), st.sampled_from([(224, 224), (448, 224), (224, 448), (896, 672)]), st.integers(0, 10**6))
def test_squares_lie_on_the_canvas_and_apart(number: int, size: tuple[int, int], seed: int) -> None:
    for small in (False, True):
        places = place_squares(number, size, random.Random(seed), small)
        assert len(places) == number
        for idx, (x, y, side) in enumerate(places):
            assert side > 0
            assert side / 2 - 1e-6 <= x <= size[0] - side / 2 + 1e-6
            assert side / 2 - 1e-6 <= y <= size[1] - side / 2 + 1e-6
            for x2, y2, side2 in places[:idx]:
                assert max(abs(x - x2), abs(y - y2)) >= 0.95 * (side + side2) / 2


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, len(sprites()) - 1),
    st.floats(-math.pi, math.pi),
    st.booleans(),
    st.floats(1, 1.2),
    st.floats(1, 1.2),
)
def test_a_turned_drawings_bounds_are_those_of_its_pixels(
    sprite: int, angle: float, flip: bool, wide: float, high: float
) -> None:
    found = bounds(outlines(sprites()[sprite : sprite + 1])[0], 100.0, angle, flip, (wide, high))
    rows, columns = np.nonzero(sprites()[sprite, 3])
    corners = [
        (column + dx, row + dy) for row, column in zip(rows, columns, strict=True) for dx in (0, 1) for dy in (0, 1)
    ]
    p, q = (np.array(corners).T / SIDE - 0.5) * 100 / (abs(math.cos(angle)) + abs(math.sin(angle)))
    p, q = p / wide * (-1 if flip else 1), q / high
    x, y = math.cos(angle) * p - math.sin(angle) * q, math.sin(angle) * p + math.cos(angle) * q
    np.testing.assert_allclose(found, (x.min(), y.min(), x.max(), y.max()), atol=0.35)
    assert max(map(abs, found)) <= 50 + 1e-6, "a turned drawing stays within its place"


def test_an_empty_sprite_is_its_centre() -> None:
    assert bounds(outlines(np.zeros((1, 4, 8, 8), np.uint8))[0], 10.0, 0.5, False, (1.0, 1.0)) == (0, 0, 0, 0)
