"""What becomes of one picture on its way into the model: the grids it could have, the one it has, its tiles.

In: a picture, a model's configuration and the tiles it may take. Out: a `PictureWalk` to draw from. Knows no weights.
"""

import math
from dataclasses import dataclass

from PIL import Image

from ivl.explain.anatomy import PictureCost, picture_cost
from ivl.explain.heatmap import Cut
from ivl.model.config import InternVLConfig
from ivl.processing import split_tiles
from ivl.processing.tiling import candidate_grids


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A grid that a picture could be cut into."""

    columns: int
    rows: int
    distance: float
    """|width / height - columns / rows|: how far its shape is from the picture's."""
    is_chosen: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class PictureWalk:
    """One picture, all the way to its image tokens."""

    image: Image.Image
    cost: PictureCost
    candidates: tuple[Candidate, ...]
    """Every grid there is, the nearest shape first; of equal ones, fewer tiles first."""
    tiles: tuple[Image.Image, ...]
    """As the model sees them, the thumbnail last where there is one."""
    first_tile: int
    """Its number among the tiles of all the prompt's pictures."""
    cut: Cut

    @property
    def num_tokens(self) -> int:
        """Image tokens of this picture."""
        return self.cost.num_tokens


def walk_picture(image: Image.Image, config: InternVLConfig, max_tiles: int, first_tile: int = 0) -> PictureWalk:
    """The walk of an RGB picture that may take `max_tiles` tiles. Raises ImageError, SettingsError."""
    cost = picture_cost(config, image.width, image.height, max_tiles)
    most = max_tiles if config.dynamic_image_size else 1
    least = min(config.min_tiles, most)
    tiles = split_tiles(image, least, most, config.image_size, config.use_thumbnail)
    assert len(tiles) == cost.num_tiles, f"{len(tiles)} tiles were made of {cost.num_tiles} counted"
    cut = Cut(
        columns=cost.columns,
        rows=cost.rows,
        has_thumbnail=cost.has_thumbnail,
        side=math.isqrt(config.tokens_per_tile),
        is_transposed=config.ps_version == "v1",
    )
    candidates = _candidates(image.width / image.height, least, most, (cost.columns, cost.rows))
    return PictureWalk(
        image=image, cost=cost, candidates=candidates, tiles=tuple(tiles), first_tile=first_tile, cut=cut
    )


def _candidates(shape: float, least: int, most: int, chosen: tuple[int, int]) -> tuple[Candidate, ...]:
    found = [
        Candidate(
            columns=columns,
            rows=rows,
            distance=abs(shape - columns / rows),
            is_chosen=(columns, rows) == chosen,
        )
        for columns, rows in candidate_grids(least, most)
    ]
    return tuple(sorted(found, key=lambda each: (each.distance, each.columns * each.rows, each.columns)))
