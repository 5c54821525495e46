"""Where the model looks while it writes a word: the attention of chosen tokens, layer by layer.

In: a model, fused or not, that runs; the ids of a prompt and its answer, and tiles. Out: how the attention is shared
out over everything before the word, averaged over heads. One plain forward; every row is computed by the model's own
attention, the chosen ones a second time as an explicit softmax in float32, whose shares are kept. Knows no text.

Shapes: T packed tokens, R chosen rows, L layers, H query heads, K key-value heads, G = H / K, Dh head width, N tiles,
I image tokens of a tile, D text width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ivl.explain.on_engine import Route, encode, on_engine
from ivl.model.attention import causal_attention
from ivl.model.internvl import InternVL
from ivl.session import Pipeline
from ivl.types import ModelInputs


@dataclass(frozen=True, kw_only=True, eq=False)
class Gaze:
    """The attention of one word."""

    shares: Tensor
    """(L, T) float32 on the CPU: of every token up to the word; each layer's add up to 1."""
    num_prompt: int
    """How many of the T tokens are the prompt's; the others are the answer's, before the word."""
    deviation: float
    """The largest difference between the explicit attention's output and the model's own."""

    def mean(self, first_layer: int = 0, last_layer: int | None = None) -> Tensor:
        """(T,) mean over layers from the first to the last, counted from 0, the last not among them."""
        return self.shares[first_layer:last_layer].mean(0)

    @property
    def late(self) -> Tensor:
        """(T,) mean over the last half of the layers, in which the picture has long been read."""
        return self.mean(len(self.shares) // 2)


def attention_shares(q: Tensor, k: Tensor, positions: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(Dh)) of rows q (R, H, Dh) that stand at `positions` (R,), over keys k (T, K, Dh).

    (R, H, T) float32, or float64 for inputs of that type; 0 for what comes after a row.
    """
    dtype = torch.promote_types(q.dtype, torch.float32)
    grouped = q.to(dtype).view(len(q), k.shape[1], -1, q.shape[-1])  # (R, K, G, Dh)
    scores = torch.einsum("rkgd,tkd->rkgt", grouped, k.to(dtype)) / q.shape[-1] ** 0.5
    later = torch.arange(len(k), device=k.device) > positions[:, None]  # (R, T)
    shares: Tensor = scores.masked_fill(later[:, None, None], -torch.inf).softmax(-1).flatten(1, 2)
    return shares


def attended(shares: Tensor, v: Tensor) -> Tensor:
    """What rows see with shares (R, H, T) of values v (T, K, Dh): (R, H, Dh)."""
    grouped = shares.view(len(shares), v.shape[1], -1, len(v))  # (R, K, G, T)
    return torch.einsum("rkgt,tkd->rkgd", grouped, v.to(shares.dtype)).flatten(1, 2)


class WatchedAttention:
    """Causal attention of one sequence, which keeps where words look: each the rows at some `positions` (R,)."""

    def __init__(self, *positions: Tensor) -> None:
        self.positions = positions
        self.shares: list[Tensor] = []
        """(words, T) of each layer, the mean over a word's rows and over heads."""
        self.deviation = 0.0

    def __call__(self, layer_idx: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q (T, H, Dh), k and v (T, K, Dh) -> (T, H, Dh)."""
        assert layer_idx == len(self.shares), f"layer {layer_idx} comes after {len(self.shares)} others"
        out = causal_attention(q[None], k[None], v[None])[0]
        self.shares.append(torch.stack([self._watch(rows, q, k, v, out) for rows in self.positions]))
        return out

    def _watch(self, rows: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor) -> Tensor:
        """(T,) where one word looks."""
        shares = attention_shares(q[rows], k, rows)
        difference = (attended(shares, v) - out[rows]).abs().max()
        self.deviation = max(self.deviation, float(difference.detach()))
        return shares.detach().mean((0, 1)).float().cpu()


def gaze(
    model: InternVL,
    inputs: ModelInputs,
    answer_ids: Sequence[int],
    start: int,
    stop: int,
    *,
    bound: int | None = None,
    route: Route | None = None,
) -> Gaze:
    """Where the model looks while it writes the answer's tokens from `start` to `stop`, the last not among them.

    A token is written by the row before it, so the first one by the prompt's last. Later tokens are left out.
    bound: the length that the rope was made for (prompt and max_new_tokens); None: that of prompt and answer.
    route: told the rows of the forward that follows (tiles, then tokens), for adapters.
    """
    return gazes(model, inputs, answer_ids, [(start, stop)], bound=bound, route=route)[0]


@torch.inference_mode()
def gazes(
    model: InternVL,
    inputs: ModelInputs,
    answer_ids: Sequence[int],
    spans: Sequence[tuple[int, int]],
    *,
    bound: int | None = None,
    route: Route | None = None,
) -> list[Gaze]:
    """`gaze` of several words, the answer's tokens of each from `start` to `stop`, in one forward for all of them."""
    for start, stop in spans:
        assert 0 <= start < stop <= len(answer_ids), f"tokens {start} to {stop} of an answer of {len(answer_ids)}"
    device = model.language_model.embed_tokens.weight.device
    num_prompt, num_answer = len(inputs.input_ids), len(answer_ids)
    last = max(stop for _, stop in spans)
    written = torch.tensor(answer_ids[: last - 1], dtype=inputs.input_ids.dtype)
    features = None if inputs.pixel_values is None else encode(model, inputs.pixel_values, route)
    embeds = model.embed(inputs.input_ids.to(device), features)  # (prompt, D)
    embeds = torch.cat((embeds, model.embed(written.to(device))))  # (T, D)
    positions = torch.arange(len(embeds), device=device)
    rope = model.language_model.rope
    cos, sin = rope.cos_sin(positions, [bound or num_prompt + num_answer], [len(embeds)])
    if route is not None:
        route(len(embeds))
    watched = WatchedAttention(*(positions[num_prompt + start - 1 : num_prompt + stop - 1] for start, stop in spans))
    model.language_model(embeds, cos, sin, watched)
    shares = torch.stack(watched.shares, dim=1)  # (words, L, T)
    return [
        Gaze(shares=own[:, : num_prompt + stop - 1], num_prompt=num_prompt, deviation=watched.deviation)
        for own, (_, stop) in zip(shares, spans, strict=True)
    ]


def gaze_in(
    pipe: Pipeline,
    inputs: ModelInputs,
    answer_ids: Sequence[int],
    start: int,
    stop: int,
    *,
    bound: int | None = None,
    adapter: str | None = None,
) -> Gaze:
    """`gaze` with a pipeline's own weights, between two steps of its engine; whoever else asks waits that long.

    Raises AdapterError where the adapter is not loaded any more, and EngineError.
    """
    return on_engine(
        pipe,
        adapter,
        lambda model, route: gaze(model, inputs, answer_ids, start, stop, bound=bound, route=route),
    )


def gazes_in(
    pipe: Pipeline,
    inputs: ModelInputs,
    answer_ids: Sequence[int],
    spans: Sequence[tuple[int, int]],
    *,
    bound: int | None = None,
    adapter: str | None = None,
) -> list[Gaze]:
    """`gazes`, as `gaze_in` is `gaze`."""
    return on_engine(
        pipe, adapter, lambda model, route: gazes(model, inputs, answer_ids, spans, bound=bound, route=route)
    )
