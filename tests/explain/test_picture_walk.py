"""One picture's walk: all grids there are, the one the model takes, and its tiles."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from ivl.explain.picture_walk import walk_picture
from ivl.processing import choose_grid, split_tiles
from ivl.processing.tiling import candidate_grids
from random_model import CONFIG


def picture(width: int, height: int) -> Image.Image:
    return Image.linear_gradient("L").resize((width, height)).convert("RGB")


@pytest.mark.parametrize("size", [(100, 100), (640, 480), (480, 640), (900, 70), (56, 2000)])
def test_every_grid_is_there_once_and_the_models_own_is_marked(size: tuple[int, int]) -> None:
    walk = walk_picture(picture(*size), CONFIG, 12)
    grids = [(each.columns, each.rows) for each in walk.candidates]
    assert len(grids) == 35
    assert sorted(grids) == sorted(candidate_grids(1, 12))
    (chosen,) = [each for each in walk.candidates if each.is_chosen]
    assert (chosen.columns, chosen.rows) == choose_grid(*size, 1, 12, 56) == (walk.cost.columns, walk.cost.rows)
    assert chosen.distance == min(each.distance for each in walk.candidates) == walk.candidates[0].distance


def test_tiles_are_those_the_model_gets() -> None:
    image = picture(300, 200)
    walk = walk_picture(image, CONFIG, 6, first_tile=4)
    wanted = split_tiles(image, 1, 6, 56)
    assert [np.asarray(tile).tobytes() for tile in walk.tiles] == [np.asarray(tile).tobytes() for tile in wanted]
    assert walk.num_tokens == len(wanted) * 4 == walk.cut.num_tokens
    assert walk.first_tile == 4


def test_a_model_of_one_tile_has_one_grid() -> None:
    walk = walk_picture(picture(300, 200), replace(CONFIG, dynamic_image_size=False), 12)
    assert [(each.columns, each.rows) for each in walk.candidates] == [(1, 1)]
    assert len(walk.tiles) == 1
    assert not walk.cut.has_thumbnail
    assert not walk.cut.is_transposed
    assert walk_picture(picture(9, 9), replace(CONFIG, ps_version="v1"), 1).cut.is_transposed
