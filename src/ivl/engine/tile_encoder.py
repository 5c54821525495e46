"""The vision model's share of a step: tiles of several requests in one batch, none of them twice.

In: tiles of sequences. Out: their features, from the cache or fresh. Knows no blocks and no language model.

N tiles, I image tokens of a tile, D text width, S pixels a side.
"""

import torch
from torch import Tensor

from ivl.engine.feature_cache import FeatureCache
from ivl.engine.sequence import Sequence, TileKey
from ivl.model.internvl import InternVL
from ivl.model.lora import AdapterSet


class TileEncoder:
    """Encodes at most `max_tiles` tiles at once."""

    def __init__(self, model: InternVL, adapters: AdapterSet, cache: FeatureCache, max_tiles: int) -> None:
        self.model = model
        self.adapters = adapters
        self.cache = cache
        self.max_tiles = max_tiles
        self.device = model.vision_model.class_embedding.device
        self.num_encoded = 0
        self.num_cached = 0

    def features(self, wanted: list[tuple[Sequence, int]]) -> dict[TileKey, Tensor]:
        """The features (I, D) of the wanted tiles, each a tensor that the cache may keep."""
        found: dict[TileKey, Tensor] = {}
        missing: dict[TileKey, tuple[Sequence, int]] = {}
        for sequence, tile in wanted:
            key = sequence.tile_key(tile)
            features = self.cache.get(key)
            if features is None:
                missing.setdefault(key, (sequence, tile))
            else:
                found[key] = features
        self.num_cached += len(wanted) - len(missing)
        # Tiles of one adapter lie together: the vision model then runs with few changes of adapter.
        keys = sorted(missing, key=lambda key: key[1])
        for start in range(0, len(keys), self.max_tiles):
            some = keys[start : start + self.max_tiles]
            encoded = self._encode([missing[key] for key in some])
            for key, features in zip(some, encoded, strict=True):
                found[key] = features
                # Of its own memory: a view would keep its whole batch alive.
                self.cache.put(key, features.clone() if len(some) > 1 else features)
        return found

    def _encode(self, tiles: list[tuple[Sequence, int]]) -> Tensor:
        """(N, I, D) of N tiles."""
        pixels = []
        for sequence, tile in tiles:
            assert sequence.request.pixel_values is not None, "a tile is wanted of a request without pixels"
            pixels.append(sequence.request.pixel_values[tile])
        batch = pixels[0][None] if len(pixels) == 1 else torch.stack(pixels)  # (N, 3, S, S)
        self.adapters.route([(sequence.request.adapter, 1) for sequence, _ in tiles])
        self.num_encoded += len(tiles)
        return self.model.encode_tiles(batch.to(self.device, non_blocking=True))
