"""The paged key-value cache, and attention over it on torch's scaled_dot_product_attention.

In: block ids of each sequence of a step. Out: an `Attention` for the decoder. The readable reference, and what a CPU
runs; `gpu_attention` has kernels for the same cache. Knows no requests.

Shapes: T packed tokens, L layers, B blocks, K key-value heads, H query heads, G = H / K, Dh head width, C tokens of a
context.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ivl.model.attention import causal_attention
from ivl.model.config import TextConfig


class KVCache:
    """Keys and values of every block: each (L, B, block_size, K, Dh), a token's heads side by side.

    Memory is taken as it is first written where the system does so (Linux, macOS); nothing is read before.
    """

    def __init__(self, config: TextConfig, num_blocks: int, block_size: int, like: Tensor) -> None:
        shape = (config.num_layers, num_blocks, block_size, config.num_kv_heads, config.head_dim)
        self.block_size = block_size
        self.num_blocks = num_blocks
        self.keys = torch.empty(shape, dtype=like.dtype, device=like.device)
        self.values = torch.empty_like(self.keys)


@dataclass(frozen=True, kw_only=True)
class Span:
    """The tokens [start, stop) of one sequence, all of its context before `stop` being in `blocks`."""

    blocks: list[int]
    start: int
    stop: int


class PagedSDPA:
    """Attention of one step: stores the spans' keys and values at `slots` (T,), then lets each see its own context."""

    def __init__(self, cache: KVCache, spans: list[Span], slots: Tensor) -> None:
        self.keys = cache.keys.flatten(1, 2)  # (L, B * block_size, K, Dh)
        self.values = cache.values.flatten(1, 2)
        self.slots = slots
        self.parts: list[_Part] = []
        first = 0
        for span in spans:
            rows = slice(first, first + span.stop - span.start)
            runs = _runs(span.blocks[: -(-span.stop // cache.block_size)], cache.block_size, span.stop)
            self.parts.append(_Part(rows=rows, runs=runs, mask=_mask(span, self.keys)))
            first = rows.stop

    def __call__(self, layer_idx: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q (T, H, Dh), k and v (T, K, Dh) -> (T, H, Dh)."""
        keys, values = self.keys[layer_idx], self.values[layer_idx]  # (B * block_size, K, Dh)
        keys[self.slots] = k
        values[self.slots] = v
        out = torch.empty_like(q)
        for part in self.parts:
            out[part.rows] = part.attend(q[part.rows], k[part.rows], v[part.rows], keys, values)
        return out


@dataclass(frozen=True, kw_only=True, eq=False)
class _Part:
    """One span's rows, the runs of cache slots that its context lies in, and what each of several rows may see."""

    rows: slice
    runs: list[slice]
    mask: Tensor | None

    def attend(self, q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """q (t, H, Dh), k and v (t, K, Dh) of the rows, the layer's cache (slots, K, Dh) -> (t, H, Dh)."""
        if self.mask is None and len(q) > 1:  # a whole prompt: all it sees is in its own rows
            return causal_attention(q[None], k[None], v[None])[0]
        keys, values = (_join([x[run] for run in self.runs]).transpose(0, 1)[None] for x in (keys, values))
        if len(q) == 1:
            # One token sees every key: its G heads of a group become the rows of one product with that group's keys.
            grouped = q.view(1, keys.shape[1], -1, q.shape[-1])  # (1, K, G, Dh)
            return F.scaled_dot_product_attention(grouped, keys, values).view_as(q)
        grouped = q.transpose(0, 1)[None]  # (1, H, t, Dh)
        is_grouped = q.shape[1] != keys.shape[1]
        seen = F.scaled_dot_product_attention(grouped, keys, values, attn_mask=self.mask, enable_gqa=is_grouped)
        return seen[0].transpose(0, 1)


def _runs(blocks: list[int], block_size: int, length: int) -> list[slice]:
    """The first `length` slots of these blocks as few slices: neighbouring blocks are one, read without a copy."""
    runs: list[slice] = []
    for block in blocks:
        start = block * block_size
        if runs and runs[-1].stop == start:
            runs[-1] = slice(runs[-1].start, start + block_size)
        else:
            runs.append(slice(start, start + block_size))
    surplus = len(blocks) * block_size - length
    runs[-1] = slice(runs[-1].start, runs[-1].stop - surplus)
    return runs


def _mask(span: Span, like: Tensor) -> Tensor | None:
    """(t, C) 0 where a token may look, -inf where not; None where no mask is needed."""
    if span.start == 0 or span.stop - span.start == 1:
        return None
    rows = torch.arange(span.start, span.stop, device=like.device)
    columns = torch.arange(span.stop, device=like.device)
    mask = torch.zeros(len(rows), len(columns), dtype=like.dtype, device=like.device)
    return mask.masked_fill_(columns > rows[:, None], -torch.inf)


def _join(pieces: list[Tensor]) -> Tensor:
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces)
