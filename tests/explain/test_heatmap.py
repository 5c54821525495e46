"""Shares of image tokens find their way back to the place they were made of."""

import numpy as np
import pytest
import torch
from PIL import Image

from ivl.explain.heatmap import Cut, draw_heat, draw_scale, lay_over_picture, ninths
from ivl.model.connector import pixel_shuffle
from ivl.processing.tiling import split_tiles, tiles_to_bytes

SIDE, TILE, PATCH = 4, 56, 7
"""Image tokens of a tile in a row; 2 x 2 patches of 7 pixels make one."""


def token_brightness(tiles: list[Image.Image], version: str) -> np.ndarray:
    """(N * I,) how bright what each image token is made of is, by the model's own pixel shuffle."""
    pixels = tiles_to_bytes(tiles).float().mean(1)  # (N, S, S)
    count = TILE // PATCH
    patches = pixels.view(len(tiles), count, PATCH, count, PATCH).mean((2, 4)).reshape(len(tiles), -1, 1)
    return pixel_shuffle(patches, 2, version).mean(-1).flatten().numpy()


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize(("columns", "rows"), [(1, 1), (2, 1), (1, 3), (3, 2), (4, 3)])
def test_a_bright_spot_is_found_where_it_is(columns: int, rows: int, version: str) -> None:
    cut = Cut(
        columns=columns, rows=rows, has_thumbnail=columns * rows > 1, side=SIDE, is_transposed=version == "v1"
    )  # fmt: skip
    cell = TILE // SIDE
    for row, column in ((0, 0), (rows * SIDE - 1, 0), (rows * SIDE // 2, columns * SIDE - 1), (1, columns * SIDE // 2)):
        image = Image.new("RGB", (columns * TILE, rows * TILE))
        image.paste((255, 255, 255), (column * cell, row * cell, (column + 1) * cell, (row + 1) * cell))
        tiles = split_tiles(image, 1, 12, TILE)
        assert len(tiles) == columns * rows + cut.has_thumbnail
        laid = lay_over_picture(token_brightness(tiles, version), cut)
        assert laid.shape == (rows * SIDE, columns * SIDE)
        assert np.unravel_index(laid.argmax(), laid.shape) == (row, column)


def test_nothing_is_lost_or_added() -> None:
    cut = Cut(columns=3, rows=2, has_thumbnail=True, side=8)
    shares = np.random.default_rng(0).random(cut.num_tokens, dtype=np.float32)
    laid = lay_over_picture(shares, cut)
    assert laid.sum() == pytest.approx(shares.sum(), rel=1e-5)
    assert ninths(laid).sum() == pytest.approx(1, rel=1e-5)


def test_a_token_of_the_thumbnail_covers_what_it_shows() -> None:
    cut = Cut(columns=3, rows=2, has_thumbnail=True, side=2)
    shares = np.zeros(cut.num_tokens, np.float32)
    shares[-1] = 6
    laid = lay_over_picture(shares, cut)
    assert (laid[2:, 3:] == 1).all()
    assert laid.sum() == 6


def test_ninths_of_a_map_whose_sides_are_no_multiple_of_three() -> None:
    laid = np.zeros((4, 4), np.float32)
    laid[0, 3] = 2
    places = ninths(laid)
    assert places.sum() == pytest.approx(1)
    assert np.unravel_index(places.argmax(), (3, 3)) == (0, 2)
    assert ninths(np.zeros((4, 4), np.float32)).sum() == 0


def test_the_drawing_is_brightest_where_the_map_is_highest() -> None:
    laid = np.zeros((8, 8), np.float32)
    laid[2, 6] = 1
    drawn = draw_heat(Image.new("RGB", (200, 100), (90, 90, 90)), laid, longest=400)
    assert drawn.size == (400, 200)
    light = np.asarray(drawn.convert("L")).astype(int)
    row, column = np.unravel_index(light.argmax(), light.shape)
    assert (row // 25, column // 50) == (2, 6)
    assert light[row, column] > light[180, 20] + 100
    even = np.asarray(draw_heat(Image.new("RGB", (9, 9)), np.zeros((8, 8), np.float32)))
    assert even.max() < 20, "a map of nothing lights nothing"


def test_the_scale_grows_lighter_and_nothing_else() -> None:
    light = np.asarray(draw_scale(64, 3).convert("L")).astype(int)[1, 1:-1]
    assert (np.diff(light) >= 0).all()
    assert light[-1] - light[0] > 150


def test_shares_of_another_length_are_refused() -> None:
    with pytest.raises(AssertionError, match="image tokens"):
        lay_over_picture(torch.zeros(5).numpy(), Cut(columns=1, rows=1, has_thumbnail=False, side=2))
