"""What a model is made of, in numbers: parameters of its parts, memory, and the tokens that a picture costs.

In: a configuration; no weights are read and no model is built. Out: plain numbers. Knows no terminal.
"""

import math
from collections import Counter
from dataclasses import dataclass

from ivl.model.config import InternVLConfig
from ivl.model.names import parameter_shapes, part_of
from ivl.processing import choose_grid

BYTES_PER_NUMBER = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True, kw_only=True)
class Anatomy:
    """Sizes of a model."""

    vision_parameters: int
    connector_parameters: int
    language_parameters: int
    weight_bytes: dict[str, int]
    """Memory of the weights, by dtype."""
    kv_bytes_per_token: dict[str, int]
    """Memory of one token's keys and values, by dtype."""

    @property
    def total_parameters(self) -> int:
        return self.vision_parameters + self.connector_parameters + self.language_parameters


@dataclass(frozen=True, kw_only=True)
class PictureCost:
    """How a picture is cut, and what that costs."""

    width: int
    height: int
    columns: int
    rows: int
    has_thumbnail: bool
    tokens_per_tile: int

    @property
    def num_tiles(self) -> int:
        """Tiles with the thumbnail."""
        return self.columns * self.rows + self.has_thumbnail

    @property
    def num_tokens(self) -> int:
        """Image tokens, without the two that mark their beginning and end."""
        return self.num_tiles * self.tokens_per_tile

    def text(self) -> str:
        """The cost as a phrase."""
        thumbnail = " and a thumbnail" if self.has_thumbnail else ""
        tiles = f"{self.columns} x {self.rows} tiles" if self.columns * self.rows > 1 else "1 tile"
        return f"{self.width}x{self.height} pixels, {tiles}{thumbnail}, {self.num_tokens:,} image tokens"


def anatomy(config: InternVLConfig) -> Anatomy:
    """Count a model's parameters, shared ones once, and the memory they take."""
    count: Counter[str] = Counter()
    for name, shape in parameter_shapes(config).items():
        count[part_of(name)] += math.prod(shape)
    numbers_per_token = config.text.kv_numbers_per_token
    return Anatomy(
        vision_parameters=count["vision_model"],
        connector_parameters=count["connector"],
        language_parameters=count["language_model"],
        weight_bytes={dtype: count.total() * size for dtype, size in BYTES_PER_NUMBER.items()},
        kv_bytes_per_token={dtype: numbers_per_token * size for dtype, size in BYTES_PER_NUMBER.items()},
    )


def picture_cost(config: InternVLConfig, width: int, height: int, max_tiles: int | None = None) -> PictureCost:
    """The grid and tokens of a picture of this size. Raises ImageError, SettingsError.

    max_tiles: as a person set it; None: the model's own.
    """
    most = max_tiles or config.max_tiles
    if not config.dynamic_image_size:
        most = 1
    columns, rows = choose_grid(width, height, min(config.min_tiles, most), most, config.image_size)
    return PictureCost(
        width=width,
        height=height,
        columns=columns,
        rows=rows,
        has_thumbnail=config.use_thumbnail and columns * rows > 1,
        tokens_per_tile=config.tokens_per_tile,
    )
