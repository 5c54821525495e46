"""A look inside a running pipeline: a function of its weights, run between two steps of its engine.

In: a pipeline and a function. Out: what that gives. Whoever else asks the engine waits that long, so functions here do
about as much work as the prompt itself.

Shapes: N tiles, I image tokens of a tile, D text width.
"""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from ivl.model.internvl import InternVL
from ivl.session import Pipeline

Result = TypeVar("Result")
Route = Callable[[int], object]
"""Told how many rows the next forward has (tiles, then tokens), it makes the asked adapter theirs."""

_TILES_AT_ONCE = 4


def on_engine(pipe: Pipeline, adapter: str | None, function: Callable[[InternVL, Route], Result]) -> Result:
    """What `function` gives for the pipeline's model and the route of an adapter (None: the pipeline's own).

    Raises EngineError, AdapterError where the adapter is not loaded any more, and what the function raises.
    """
    name = adapter or pipe.adapter
    return pipe.engine.call(
        lambda core: function(core.runner.model, lambda rows: core.runner.adapters.route([(name, rows)]))
    )


@torch.inference_mode()
def encode(model: InternVL, pixel_values: Tensor, route: Route | None = None) -> Tensor:
    """Tiles (N, 3, S, S) -> image tokens (N, I, D), a few tiles at once, as the engine does."""
    device, features = model.vision_model.class_embedding.device, []
    for tiles in torch.split(pixel_values, _TILES_AT_ONCE):
        if route is not None:
            route(len(tiles))
        features.append(model.encode_tiles(tiles.to(device)))
    return torch.cat(features)
