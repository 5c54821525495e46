"""Grids, tiles and pixels: equal to the bit to the official preprocessing."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ivl.errors import ImageError, SettingsError
from ivl.processing.images import load_image
from ivl.processing.tiling import MOST_TILES, candidate_grids, choose_grid, split_tiles, tiles_to_tensor

PARITY = Path(__file__).parents[1] / "parity" / "preprocess"
GOLDEN = json.loads((PARITY / "pillow12.json").read_text())


def sha256(tiles: Sequence[Image.Image] | torch.Tensor) -> str:
    if isinstance(tiles, torch.Tensor):
        return hashlib.sha256(tiles.numpy()).hexdigest()
    return hashlib.sha256(b"".join(tile.tobytes() for tile in tiles)).hexdigest()


# ---------------------------------------------------------------- goldens


@pytest.mark.parametrize("golden", GOLDEN["images"], ids=lambda golden: golden["file"])
def test_tiles_equal_golden(golden: dict) -> None:
    image = load_image(PARITY / "images" / golden["file"], as_viewed=False)
    for max_tiles, case in golden["cases"].items():
        assert list(choose_grid(*image.size, max_tiles=int(max_tiles))) == case["grid_cols_rows"]
        tiles = split_tiles(image, max_tiles=int(max_tiles))
        assert len(tiles) == case["n_tiles"]
        assert len(tiles) == np.prod(case["grid_cols_rows"]) + case["has_thumbnail"]
        assert sha256(tiles) == case["tiles_u8_nhwc_sha256"]
        assert sha256(tiles_to_tensor(tiles)) == case["pixel_values_f32_nchw_sha256"]
    whole = split_tiles(image, max_tiles=1)
    assert sha256(tiles_to_tensor(whole)) == golden["no_dynamic_pixel_values_sha256"]


@pytest.mark.parametrize("golden", GOLDEN["small"]["images"].values(), ids=lambda golden: golden["file"])
def test_small_tiles_equal_golden(golden: dict) -> None:
    image = load_image(PARITY / "small" / golden["file"], as_viewed=False)
    pixels = tiles_to_tensor(split_tiles(image, tile_size=56))
    assert list(pixels.shape) == golden["shape"]
    assert sha256(pixels) == golden["pixel_values_f32_nchw_sha256"]


def test_other_bounds_and_tile_sizes_equal_golden() -> None:
    golden = GOLDEN["full_example"]
    image = load_image(PARITY / "images" / golden["file"], as_viewed=False)
    assert sha256(split_tiles(image, max_tiles=2)) == golden["max2_tiles_u8_nhwc_sha256"]
    small = tiles_to_tensor(split_tiles(image, max_tiles=6, tile_size=56))
    assert sha256(small) == golden["size56_max6_pixel_values_f32_nchw_sha256"]


def test_candidate_grids_equal_golden() -> None:
    for bounds, grids in json.loads((PARITY / "target_ratios.json").read_text())["ratios"].items():
        low, high = map(int, bounds.split(","))
        assert [list(grid) for grid in candidate_grids(low, high)] == grids
    assert len(candidate_grids(1, 12)) == 35


def test_chosen_grids_equal_golden() -> None:
    golden = json.loads((PARITY / "grid_choices.json").read_text())
    for bounds, grids in golden["grids"].items():
        low, high = map(int, bounds.split(","))
        for (width, height), grid in zip(golden["sizes_wh"], grids, strict=True):
            assert list(choose_grid(width, height, low, high)) == grid, (width, height, bounds)


# ---------------------------------------------------------------- an independent derivation


def expected_grid(width: int, height: int, low: int, high: int, side: int) -> tuple[int, int]:
    """In words: the nearest shape; of equally near ones, the largest that the picture half fills.

    Grids of the same area that are equally near are not decided here (the goldens are).
    """
    grids = [(c, r) for c in range(1, high + 1) for r in range(1, high + 1) if low <= c * r <= high]
    nearest = min(abs(width / height - c / r) for c, r in grids)
    tied = sorted((c * r, c, r) for c, r in grids if abs(width / height - c / r) == nearest)
    best = tied[0]
    for grid in tied[1:]:
        if width * height > side * side * grid[0] / 2:
            best = grid
    return best[1:]


bounds = st.sampled_from([(1, 1), (1, 2), (1, 6), (1, 12), (2, 6), (3, 9), (1, 24), (5, 40)])


@settings(max_examples=300, deadline=None)
@given(width=st.integers(1, 4000), height=st.integers(1, 4000), bounds=bounds, side=st.sampled_from([28, 448]))
def test_grid_equals_derivation(width: int, height: int, bounds: tuple[int, int], side: int) -> None:
    columns, rows = choose_grid(width, height, *bounds, side)
    expected = expected_grid(width, height, *bounds, side)
    distances = [abs(width / height - c / r) for c, r in ((columns, rows), expected)]
    assert distances[0] == distances[1]
    if columns * rows == expected[0] * expected[1]:
        return  # the same, or mirrored grids at equal distance, whose order the goldens hold
    assert (columns, rows) == expected


@settings(max_examples=40, deadline=None)
@given(
    width=st.integers(1, 120),
    height=st.integers(1, 120),
    seed=st.integers(0, 999),
    bounds=bounds,
    thumbnail=st.booleans(),
    mode=st.sampled_from(["RGB", "L", "RGBA", "P", "1", "CMYK"]),
)
def test_pixels_equal_derivation(
    width: int, height: int, seed: int, bounds: tuple[int, int], thumbnail: bool, mode: str
) -> None:
    side = 28
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    image = Image.fromarray(noise).convert(mode)
    columns, rows = choose_grid(width, height, *bounds, side)

    sheet = np.asarray(image.convert("RGB").resize((columns * side, rows * side), Image.Resampling.BICUBIC))
    cut = [
        sheet[row * side : (row + 1) * side, column * side : (column + 1) * side]
        for row in range(rows)
        for column in range(columns)
    ]
    if thumbnail and len(cut) > 1:
        cut.append(np.asarray(image.convert("RGB").resize((side, side), Image.Resampling.BICUBIC)))
    tiles = split_tiles(image, *bounds, side, thumbnail)
    assert all(np.array_equal(tile, array) for tile, array in zip(tiles, cut, strict=True))

    # What torchvision's ToTensor and Normalize do, step by step.
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    planes = [torch.from_numpy(array.copy()).permute(2, 0, 1).contiguous() for array in cut]
    expected = torch.stack([plane.to(torch.float32).div(255).sub(mean).div(std) for plane in planes])
    pixels = tiles_to_tensor(tiles)
    assert pixels.dtype == torch.float32
    assert pixels.is_contiguous()
    assert torch.equal(pixels, expected)


# ---------------------------------------------------------------- edges


@pytest.mark.parametrize(
    ("size", "grid"),
    [((1, 1), (1, 1)), ((60_000, 1), (12, 1)), ((1, 20_000), (1, 12)), ((65_535, 2), (12, 1))],
)
def test_extreme_pictures_work(size: tuple[int, int], grid: tuple[int, int]) -> None:
    assert choose_grid(*size) == grid
    tiles = split_tiles(Image.new("RGB", size, (10, 20, 30)), tile_size=28)
    assert len(tiles) == (1 if grid == (1, 1) else 13)
    assert all(tile.getpixel((5, 5)) == (10, 20, 30) for tile in tiles)


def test_the_picture_is_left_alone() -> None:
    image = Image.new("RGB", (448, 448), (1, 2, 3))
    (tile,) = split_tiles(image)
    tile.putpixel((0, 0), (9, 9, 9))
    assert image.getpixel((0, 0)) == (1, 2, 3)


@pytest.mark.parametrize("bad", [(0, 12), (3, 2), (1, MOST_TILES + 1), (-1, 4)])
def test_bounds_are_checked(bad: tuple[int, int]) -> None:
    with pytest.raises(SettingsError, match=f"min_tiles={bad[0]}, max_tiles={bad[1]}"):
        choose_grid(10, 10, *bad)


def test_impossible_requests() -> None:
    with pytest.raises(ImageError, match="0 by 5 pixels"):
        choose_grid(0, 5)
    with pytest.raises(SettingsError, match="tile_size=0"):
        choose_grid(5, 5, tile_size=0)
    with pytest.raises(ImageError, match="no tiles"):
        tiles_to_tensor([])
    with pytest.raises(ImageError, match="tile 1 is 3 by 4"):
        tiles_to_tensor([Image.new("RGB", (3, 3)), Image.new("RGB", (3, 4))])
    with pytest.raises(ImageError, match="tile 0 is 3 by 4"):
        tiles_to_tensor([Image.new("RGB", (3, 4))])


def test_one_allowed_number_of_tiles() -> None:
    assert choose_grid(100, 90, 7, 7) in {(1, 7), (7, 1)}
    assert choose_grid(100, 90, 4, 4) == (2, 2)
