"""The drawn grid: every tile in its place, numbered, on a page of sensible size."""

import colorsys

import numpy as np
import pytest
from PIL import Image, ImageDraw

from ivl.errors import SettingsError
from ivl.explain.grids import _caption, _Layout, draw_grid
from ivl.processing.tiling import choose_grid

SHAPES = [(1792, 1344), (1344, 1792), (3000, 200), (200, 3000), (448, 448), (1, 1), (60_000, 1), (900, 600)]


def coloured(columns: int, rows: int) -> tuple[Image.Image, list[tuple[int, int, int]]]:
    """A picture whose tiles have a colour each, and those in reading order."""
    side, number = 60, columns * rows
    image = Image.new("RGB", (columns * side, rows * side))
    draw, colours = ImageDraw.Draw(image), []
    for idx in range(number):
        red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(idx / number, 0.8, 0.8))
        row, column = divmod(idx, columns)
        draw.rectangle((column * side, row * side, (column + 1) * side - 1, (row + 1) * side - 1), (red, green, blue))
        colours.append((red, green, blue))
    return image, colours


def layout(columns: int, rows: int, text_width: int = 0) -> _Layout:
    return _Layout(columns=columns, rows=rows, has_thumbnail=columns * rows > 1, text_width=text_width)


@pytest.mark.parametrize("grid", [(1, 1), (2, 1), (1, 2), (3, 2), (4, 3), (12, 1), (1, 12), (6, 4)])
def test_tiles_stand_in_reading_order(grid: tuple[int, int]) -> None:
    image, colours = coloured(*grid)
    page, place = draw_grid(image, *grid), layout(*grid)
    left, top = place.grid_corner
    for idx, colour in enumerate(colours):
        row, column = divmod(idx, grid[0])
        low = left + column * place.tile + place.tile * 3 // 4, top + row * place.tile + place.tile * 3 // 4
        assert np.abs(np.subtract(page.getpixel(low), colour)).max() <= 3, idx


@pytest.mark.parametrize("size", SHAPES)
def test_page_is_of_sensible_size(size: tuple[int, int]) -> None:
    grid = choose_grid(*size)
    page = draw_grid(Image.new("RGB", size, (200, 40, 40)), *grid)
    assert page.mode == "RGB"
    assert 300 <= page.width <= 1300
    assert 250 <= page.height <= 1100
    border = np.concatenate([np.asarray(page)[:15].reshape(-1, 3), np.asarray(page)[-15:].reshape(-1, 3)])
    assert (border == border[0]).all(), "something is drawn over the margin"
    side = np.asarray(page)[:, -15:].reshape(-1, 3)
    assert (side == border[0]).all(), "the caption is cut off"


def test_every_tile_has_a_number_that_can_be_seen() -> None:
    for background in ((255, 255, 255), (0, 0, 0), (128, 128, 128)):
        place = layout(4, 3)
        page = np.asarray(draw_grid(Image.new("RGB", (400, 300), background), 4, 3)).astype(int)
        left, top = place.grid_corner
        seen = set()
        for idx in range(12):
            row, column = divmod(idx, 4)
            x, y = left + column * place.tile, top + row * place.tile
            label = page[y + 5 : y + 45, x + 5 : x + 60]
            assert label.max() - label.min() > 200
            seen.add(label.tobytes())
        assert len(seen) == 12
        line = page[top + 60, left + place.tile - 5 : left + place.tile + 5]
        assert line.max() - line.min() > 200, "the line between two tiles cannot be seen"


def test_thumbnail_only_where_the_model_gets_one() -> None:
    image, _ = coloured(2, 2)
    with_it, without = draw_grid(image, 2, 2), draw_grid(image, 2, 2, thumbnail=False)
    assert with_it.width > without.width
    x, y = layout(2, 2).thumbnail_corner
    side = layout(2, 2).thumbnail
    inside = with_it.crop((x + side // 2, y + side // 2, x + side, y + side)).getpixel((side // 4, side // 4))
    assert np.abs(np.subtract(inside, image.getpixel((90, 90)))).max() <= 3
    single = Image.new("RGB", (448, 448))
    assert draw_grid(single, 1, 1).tobytes() == draw_grid(single, 1, 1, thumbnail=False).tobytes()


@pytest.mark.parametrize(
    ("grid", "thumbnail", "title", "words"),
    [
        ((4, 3), True, "3,328 image tokens", "12 tiles + thumbnail of 448 x 448"),
        ((4, 3), False, "3,072 image tokens", "12 tiles of 448 x 448"),
        ((1, 1), False, "256 image tokens", "1 tile of 448 x 448"),
    ],
)
def test_caption(grid: tuple[int, int], thumbnail: bool, title: str, words: str) -> None:
    shown_title, text = _caption((4032, 3024), *grid, 448, 256, thumbnail)
    assert shown_title == title
    assert "4032 x 3024 pixels" in text
    assert f"grid {grid[0]} x {grid[1]}" in text
    assert words in text


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
def test_other_modes_and_the_picture_is_left_alone(mode: str) -> None:
    image = coloured(2, 1)[0].convert(mode)
    before = image.tobytes()
    assert draw_grid(image, 2, 1).mode == "RGB"
    assert image.tobytes() == before


@pytest.mark.parametrize("name", ["columns", "rows", "tile_size", "tokens_per_tile"])
def test_numbers_are_checked(name: str) -> None:
    values = {"columns": 2, "rows": 2, "tile_size": 448, "tokens_per_tile": 256, name: 0}
    with pytest.raises(SettingsError, match=f"{name}=0"):
        draw_grid(Image.new("RGB", (9, 9)), **values)
