"""Dynamic high resolution: one picture -> a grid of square tiles and a thumbnail -> normalised pixels.

In: the size of a picture, or an RGB picture of PIL. Out: the grid (columns, rows), the tiles in reading
order, and the float tensor that the vision model reads. Knows no files, no prompts, no model.

Equal to the bit to the official `dynamic_preprocess` and torchvision's `ToTensor` + `Normalize` under Pillow
12, as the goldens in tests/parity/preprocess show (Pillow 13 resizes differently).
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from PIL import Image

from ivl.errors import ImageError, SettingsError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
MOST_TILES = 256
"""Upper bound of max_tiles: a picture of 256 tiles is 588 MiB of pixels and 65,536 image tokens."""


def choose_grid(
    width: int, height: int, min_tiles: int = 1, max_tiles: int = 12, tile_size: int = 448
) -> tuple[int, int]:
    """The grid (columns, rows) whose shape is nearest to the picture's.

    Among grids of min_tiles to max_tiles tiles, the one with the smallest |width / height - columns / rows|.
    Where two are equally near, the one with more tiles wins only if the picture has more than half its
    pixels.

    Raises ImageError for a picture without pixels, SettingsError for bounds that are not allowed.
    Source: `find_closest_aspect_ratio` of the official InternVL2 code.
    """
    if width < 1 or height < 1:
        raise ImageError(f"a picture of {width} by {height} pixels has no grid: both sides must be at least 1")
    _check_bounds(min_tiles, max_tiles, tile_size)
    shape = width / height
    best, best_distance = (1, 1), float("inf")
    for columns, rows in candidate_grids(min_tiles, max_tiles):
        distance = abs(shape - columns / rows)
        tie_won = distance == best_distance and width * height > 0.5 * tile_size**2 * columns * rows
        if distance < best_distance or tie_won:
            best, best_distance = (columns, rows), distance
    return best


def split_tiles(
    image: Image.Image,
    min_tiles: int = 1,
    max_tiles: int = 12,
    tile_size: int = 448,
    thumbnail: bool = True,
) -> list[Image.Image]:
    """The tiles of a picture row by row, tile_size x tile_size RGB each; the thumbnail last if more than one.

    The whole picture is resized (bicubic) to the grid chosen for it, without regard to its aspect ratio, and
    cut. max_tiles=1 gives the whole picture as one tile. Errors as `choose_grid`.
    """
    columns, rows = choose_grid(image.width, image.height, min_tiles, max_tiles, tile_size)
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    sheet = rgb.resize((columns * tile_size, rows * tile_size), Image.Resampling.BICUBIC)
    if columns * rows == 1:
        return [sheet]
    corners = [(column * tile_size, row * tile_size) for row in range(rows) for column in range(columns)]
    tiles = [sheet.crop((x, y, x + tile_size, y + tile_size)) for x, y in corners]
    if thumbnail:
        tiles.append(rgb.resize((tile_size, tile_size), Image.Resampling.BICUBIC))
    return tiles


def tiles_to_tensor(tiles: Sequence[Image.Image]) -> torch.Tensor:
    """Pixels of N tiles of S x S, scaled to 0..1, less ImageNet's mean, over its deviation: (N, 3, S, S).

    Raises ImageError when there are no tiles, or they are not square and of one size.
    """
    return normalise(tiles_to_bytes(tiles))


def tiles_to_bytes(tiles: Sequence[Image.Image]) -> torch.Tensor:
    """Pixels of N tiles of S x S as they are: (N, 3, S, S) uint8. Errors as `tiles_to_tensor`."""
    if not tiles:
        raise ImageError("tiles_to_tensor got no tiles: at least one is needed")
    side = tiles[0].width
    pixels = torch.empty(len(tiles), 3, side, side, dtype=torch.uint8)
    planes = pixels.numpy()  # the same memory
    for idx, tile in enumerate(tiles):
        if tile.size != (side, side):
            raise ImageError(f"tile {idx} is {tile.width} by {tile.height} pixels: all must be {side} by {side}")
        rgb = tile if tile.mode == "RGB" else tile.convert("RGB")
        for channel, band in enumerate(rgb.split()):
            planes[idx, channel] = np.asarray(band)
    return pixels


def normalise(pixels: torch.Tensor) -> torch.Tensor:
    """(N, 3, S, S) uint8 on any device -> float32 there, scaled to 0..1, less ImageNet's mean, over its deviation.

    Three steps, each rounded to float32 as torchvision does: one fused factor differs in the last bit.
    """
    if pixels.device.type == "cpu":
        return _normalise_by_planes(pixels)
    mean, std = (torch.tensor(each, device=pixels.device)[:, None, None] for each in (IMAGENET_MEAN, IMAGENET_STD))
    return pixels.float().div_(255).sub_(mean).div_(std)


def _normalise_by_planes(pixels: torch.Tensor) -> torch.Tensor:
    """The same on a CPU: the steps over one plane find it in the cache, which takes two thirds of the time."""
    out = torch.empty(pixels.shape, dtype=torch.float32)
    for tile, filled in zip(pixels.numpy(), out.numpy(), strict=True):
        for band, plane, mean, std in zip(tile, filled, IMAGENET_MEAN, IMAGENET_STD, strict=True):
            np.divide(band, np.float32(255), out=plane)
            np.subtract(plane, np.float32(mean), out=plane)
            np.divide(plane, np.float32(std), out=plane)
    return out


@lru_cache(maxsize=64)
def candidate_grids(min_tiles: int, max_tiles: int) -> tuple[tuple[int, int], ...]:
    """Every (columns, rows) with min_tiles <= columns * rows <= max_tiles, in the official order of visits.

    That order decides ties between grids of equally many tiles. It is the order of a CPython set, filled in
    the official loop's sequence and sorted by area; so the set is filled the same way here, and a golden
    holds it.
    """
    grids = {
        (columns, rows)
        for limit in range(min_tiles, max_tiles + 1)
        for columns in range(1, limit + 1)
        for rows in range(1, min(limit, max_tiles // columns) + 1)
        if columns * rows >= min_tiles
    }
    return tuple(sorted(grids, key=lambda grid: grid[0] * grid[1]))


def _check_bounds(min_tiles: int, max_tiles: int, tile_size: int) -> None:
    if not 1 <= min_tiles <= max_tiles <= MOST_TILES:
        raise SettingsError(
            f"min_tiles={min_tiles}, max_tiles={max_tiles} is not allowed: 1 <= min_tiles <= max_tiles <= {MOST_TILES}"
        )
    if tile_size < 1:
        raise SettingsError(f"tile_size={tile_size} is not allowed: a whole number of at least 1")
