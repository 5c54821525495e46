"""Image features of tiles seen before, within a budget of bytes; the longest unused go first.

In and out: features (I, D) under a `TileKey`. Knows no pictures and no model.
"""

from collections import OrderedDict

from torch import Tensor

from ivl.engine.sequence import TileKey


class FeatureCache:
    """Keeps at most `max_bytes` of features."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.num_bytes = 0
        self._features: OrderedDict[TileKey, Tensor] = OrderedDict()

    def get(self, key: TileKey) -> Tensor | None:
        """The features (I, D) of a tile, if they are kept."""
        features = self._features.get(key)
        if features is not None:
            self._features.move_to_end(key)
        return features

    def put(self, key: TileKey, features: Tensor) -> None:
        """Keep a tile's features (I, D), a tensor of their own, if the budget allows it at all."""
        if features.nbytes > self.max_bytes:
            return
        self.remove(key)
        self._features[key] = features
        self.num_bytes += features.nbytes
        while self.num_bytes > self.max_bytes:
            _, oldest = self._features.popitem(last=False)
            self.num_bytes -= oldest.nbytes

    def remove(self, key: TileKey) -> None:
        """Forget a tile."""
        features = self._features.pop(key, None)
        if features is not None:
            self.num_bytes -= features.nbytes

    def check(self) -> None:
        """Assert that the count of bytes is right and within the budget."""
        counted = sum(features.nbytes for features in self._features.values())
        assert counted == self.num_bytes <= self.max_bytes, f"{counted} bytes are kept, {self.num_bytes} are counted"
