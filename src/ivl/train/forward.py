"""The trainer's forward: a packed batch in, the weighted loss out.

The same modules as in serving; what differs is around them: frozen pictures are encoded without a graph and in
chunks, the loss never makes T x V logits, and where ranks train together every one of them meets a picture, so that
all take part in the same reductions.

Shapes: T packed tokens, L labelled ones, N tiles, I image tokens of a tile, D text width.
"""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ivl.data.seen_tiles import SeenTiles, TileStore
from ivl.model.internvl import InternVL
from ivl.model.varlen import packed_attention
from ivl.train.loss import head_loss

TILES_AT_ONCE = 32
"""Tiles that go through a frozen vision model together; it bounds the memory, more make it no quicker."""


class PackedForward(nn.Module):
    """What is wrapped for several ranks: its forward is the whole graph of a micro batch.

    dtype: of the arithmetic; other than float32 it is autocast's, over float32 weights where those train.
    always_sees: give the vision side a blank tile when a batch has none; several ranks need it.
    store: where the output of a frozen vision model is kept.
    """

    def __init__(
        self,
        model: InternVL,
        dtype: torch.dtype = torch.float32,
        always_sees: bool = False,
        store: TileStore | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.dtype = dtype
        self.always_sees = always_sees
        self.tiles_at_once = TILES_AT_ONCE
        """Raised where ranks share the vision model's weights: all of them must call its layers equally often."""
        self.store = store
        self.store_fault: str | None = None
        """Why nothing is stored any more."""

    def forward(
        self,
        input_ids: Tensor,
        targets: Tensor,
        weights: Tensor,
        offsets: Sequence[int],
        pixel_values: Tensor | None = None,
        seen: SeenTiles | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The sum of weights * losses, and the losses (T,) of all tokens, 0 where none is trained.

        input_ids, targets (T,) int64, targets shifted already and -100 where untrained; weights (T,) float32;
        offsets of the samples, S + 1 numbers; pixel_values (N, 3, p, p), without the tiles that `seen` knows.
        """
        with self._autocast(input_ids.device.type):
            embeds = self._embed(input_ids, pixel_values, seen)
            text = self.model.config.text
            attention = packed_attention(list(offsets), embeds.device, self.dtype, text.head_dim)
            hidden = self.model.hidden_states(embeds, list(offsets), attention)
            labelled = (targets >= 0).nonzero()[:, 0]  # (L,)
            total, found = head_loss(
                hidden.index_select(0, labelled), self._head(), targets[labelled], weights[labelled]
            )
            if not len(labelled):
                total = total + 0 * hidden.sum()  # keeps every parameter in the graph
        losses = torch.zeros_like(weights, dtype=found.dtype).index_put((labelled,), found.detach())
        return total, losses

    def _embed(self, input_ids: Tensor, pixel_values: Tensor | None, seen: SeenTiles | None) -> Tensor:
        """(T, D), image features in their places."""
        model = self.model
        if seen is not None or (pixel_values is not None and len(pixel_values)):
            return model.embed(input_ids, self._features(pixel_values, seen))
        if not self.always_sees:
            return model.embed(input_ids)
        # Before the embeddings, as where there are pictures: ranks put weights together in one order.
        nothing = 0 * self._features(self._blank(input_ids.device)).sum()
        embeds = model.embed(input_ids)
        return embeds + nothing.to(embeds.dtype)

    def _blank(self, device: torch.device) -> Tensor:
        """One tile without anything on it, (1, 3, p, p)."""
        side = self.model.config.image_size
        return torch.zeros(1, 3, side, side, device=device)

    def _features(self, pixel_values: Tensor | None, seen: SeenTiles | None = None) -> Tensor:
        """Tiles (N, 3, p, p) -> (N, I, D); no graph below the first part that trains."""
        model = self.model
        if any(parameter.requires_grad for parameter in model.vision_model.parameters()):
            assert seen is None, "the vision model changes: what it made of tiles before is no use"
            assert pixel_values is not None, "there are pixels or features"
            patches = model.shuffled_patches(pixel_values)
        else:
            patches = self._frozen_patches(pixel_values, seen)
        features: Tensor = model.connector(patches)
        return features

    @torch.no_grad()
    def _frozen_patches(self, pixel_values: Tensor | None, seen: SeenTiles | None) -> Tensor:
        """What the connector reads of N tiles: computed for those with pixels, the others as they were stored."""
        new = None
        if pixel_values is not None:
            parts = torch.split(pixel_values, self.tiles_at_once)
            new = torch.cat([self.model.shuffled_patches(part) for part in parts])
            if seen is not None:
                self._keep(seen.digests, new)
        if seen is None:
            assert new is not None, "there are pixels or features"
            return new
        known = seen.features.to(self.model.vision_model.class_embedding.device, self.dtype, non_blocking=True)
        if new is None:
            if self.always_sees:  # the other ranks may be encoding tiles with weights that all ranks share
                self.model.shuffled_patches(self._blank(known.device))
            return known
        patches = known.new_empty(len(seen.is_known), *known.shape[1:])
        is_known = torch.tensor(seen.is_known, device=known.device)
        patches[is_known], patches[~is_known] = known, new.to(self.dtype)
        return patches

    def _keep(self, digests: tuple[str, ...], patches: Tensor) -> None:
        """Store what was made of new tiles; a full disk costs the run no more than the store."""
        if self.store is None:
            return
        try:
            self.store.write(digests, patches)
        except OSError as fault:
            self.store_fault = (
                f"vision_cache: {self.store.folder} cannot be written ({fault.strerror}); it is not kept on"
            )
            self.store = None

    def _head(self) -> Tensor:
        language_model = self.model.language_model
        head = language_model.lm_head
        weight = language_model.embed_tokens.weight if head is None else head.weight
        assert isinstance(weight, Tensor), "the head is linear"
        return weight

    def _autocast(self, device: str) -> AbstractContextManager[object]:
        if self.dtype in (torch.float32, torch.float64):
            return contextlib.nullcontext()
        return torch.autocast(device, self.dtype)


def first_bad_sample(losses: Tensor, spans: Iterable[tuple[str, slice]]) -> str | None:
    """The sample whose loss is NaN or infinite, if any: losses (T,) of a micro batch, each sample's name and place."""
    return next((name for name, part in spans if not bool(losses[part].isfinite().all())), None)


def apply_checkpointing(model: InternVL, num_layers: int) -> None:
    """Keep only the inputs of the first `num_layers` decoder layers and compute the rest again in the backward.

    Also of the vision layers that train, if any decoder layer is. The names of modules and parameters stay.
    """
    layers: list[nn.Module] = list(model.language_model.layers)[:num_layers]
    if num_layers:
        layers += [each for each in model.vision_model.layers if any(p.requires_grad for p in each.parameters())]
    for layer in layers:
        again: Callable[..., Tensor] = partial(checkpoint, layer.forward, use_reentrant=False)
        layer.forward = again
