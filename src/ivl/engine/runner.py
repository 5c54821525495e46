"""One step of the model: chunks of tokens in, the logits that follow them out; keys and values stay in the cache.

Knows no waiting line and no sampling.

T packed tokens, S sequences of the step, N tiles, I image tokens of a tile, D text width, Dh head width, V vocabulary.
"""

import numpy as np
import torch
from torch import Tensor

from ivl.engine.backend import choose_backend
from ivl.engine.batch import Batch, Ints, pack
from ivl.engine.paged_attention import KVCache
from ivl.engine.sequence import Chunk
from ivl.engine.tile_encoder import TileEncoder
from ivl.model.internvl import InternVL
from ivl.model.lora import AdapterSet
from ivl.types import EngineConfig


class Runner:
    """The model, its cache, and the tables it needs again and again."""

    def __init__(
        self, model: InternVL, adapters: AdapterSet, cache: KVCache, tiles: TileEncoder, config: EngineConfig
    ) -> None:
        self.model = model
        self.adapters = adapters
        self.cache = cache
        self.tiles = tiles
        self.device = cache.keys.device
        self.backend = choose_backend(model.language_model, cache, config.max_batch_size, config.session_len)
        positions = torch.arange(config.session_len, device=self.device)
        self.cos, self.sin = model.language_model.rope.cos_sin(positions, [1], [len(positions)])  # (session_len, Dh)

    def run(self, chunks: list[Chunk]) -> tuple[list[Chunk], Tensor]:
        """The chunks whose next token is due, and the logits (len(those), V) it is drawn from."""
        batch = pack(chunks, self.cache.block_size)
        cos, sin = self._cos_sin(batch)
        self.adapters.route([])  # a graph holds the base alone: nothing of the last batch may be captured in it
        logits = self.backend.decode(batch, cos, sin)
        if logits is not None:
            return batch.chunks, logits
        offsets = batch.offsets
        embeds = self._embed(batch, offsets)
        self.adapters.route([(c.sequence.request.adapter, c.stop - c.start) for c in batch.chunks])
        attention = self.backend.attention(batch, self._tensor(batch.slots))
        hidden = self.model.language_model(embeds, cos, sin, attention)  # (T, D)
        due = [(chunk, last - 1) for chunk, last in zip(batch.chunks, offsets[1:], strict=True) if chunk.samples]
        if len(due) < len(hidden):
            hidden = hidden[self._tensor(np.array([row for _, row in due], np.int64))]
        return [chunk for chunk, _ in due], self.model.language_model.logits(hidden)

    def synchronize(self) -> None:
        """Wait for the device; raises what went wrong there."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def _cos_sin(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(T, Dh) each, by the rope of each sequence."""
        rope, positions = self.model.language_model.rope, self._tensor(batch.positions)
        bounds = [chunk.sequence.bound for chunk in batch.chunks]
        if rope.key(max(bounds)) == rope.key(1):
            return self.cos[positions], self.sin[positions]
        return rope.cos_sin(positions, bounds, [chunk.stop - chunk.start for chunk in batch.chunks])

    def _embed(self, batch: Batch, offsets: list[int]) -> Tensor:
        """(T, D) of the tokens, with image features in the places of the image tokens."""
        embeds: Tensor = self.model.language_model.embed_tokens(self._tensor(batch.input_ids))
        spans = [chunk.sequence.image_rows(chunk.start, chunk.stop) for chunk in batch.chunks]
        pictured = [(c, *s, o) for c, s, o in zip(batch.chunks, spans, offsets, strict=False) if s[0] < s[1]]
        if not pictured:
            return embeds
        wanted = [(c.sequence, tile) for c, first, last, _ in pictured for tile in c.sequence.tiles(first, last)]
        features = self.tiles.features(wanted)
        for chunk, first, last, offset in pictured:
            sequence = chunk.sequence
            tiles = sequence.tiles(first, last)
            found = torch.cat([features[sequence.tile_key(tile)] for tile in tiles])  # (n * I, D)
            skipped = tiles.start * sequence.tokens_per_tile
            places = np.array(sequence.places[first:last]) - chunk.start + offset
            rows = found[first - skipped : last - skipped]
            assert len(rows) == len(places), f"{len(rows)} image features for {len(places)} image tokens"
            embeds[self._tensor(places)] = rows.to(embeds.dtype)
        return embeds

    def _tensor(self, numbers: Ints) -> Tensor:
        return torch.from_numpy(numbers).to(self.device, non_blocking=True)
