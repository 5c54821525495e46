"""Drawing tokens: temperature, top-k, top-p, min-p, and one uniform number a row.

In: logits (R, V), settings and a number from [0, 1) for each row. Out: token ids (R,). Rows know nothing of each
other: whatever stands beside it, a row gives the same token. Everything is summed in float64.

R rows, V vocabulary, K most likely tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ivl.engine.request import SamplingParams

NUM_CANDIDATES = 1024
"""Most likely tokens looked at first; all are sorted only for rows whose filters may keep more."""


def draw(logits: Tensor, params: Sequence[SamplingParams], uniforms: Sequence[float]) -> Tensor:
    """(R,) token ids drawn from logits (R, V); -inf is never drawn."""
    chosen = torch.empty(len(params), dtype=torch.int64, device=logits.device)
    for is_filtered, kind in ((False, _draw_any), (True, _draw_filtered)):
        rows = [row for row, each in enumerate(params) if _is_filtered(each) == is_filtered]
        if rows:
            index = torch.tensor(rows, device=logits.device)
            settings = _settings([params[row] for row in rows], [uniforms[row] for row in rows], logits.device)
            chosen[index] = kind(_weights(logits[index], settings), settings)
    return chosen


@dataclass(frozen=True)
class _Settings:
    """The settings of some rows as columns (R, 1), float64."""

    temperature: Tensor
    top_k: Tensor
    """inf is off, as for top_p."""
    top_p: Tensor
    min_p: Tensor
    uniform: Tensor

    def __getitem__(self, rows: Tensor) -> "_Settings":
        each = (self.temperature, self.top_k, self.top_p, self.min_p, self.uniform)
        return _Settings(*(column[rows] for column in each))


def _settings(params: Sequence[SamplingParams], uniforms: Sequence[float], device: torch.device) -> _Settings:
    off = float("inf")
    rows = [
        (each.temperature, each.top_k or off, each.top_p if each.top_p < 1 else off, each.min_p, uniform)
        for each, uniform in zip(params, uniforms, strict=True)
    ]
    columns = torch.tensor(rows, dtype=torch.float64, device=device)
    return _Settings(*columns[:, :, None].unbind(1))


def _is_filtered(params: SamplingParams) -> bool:
    return params.top_k > 0 or params.top_p < 1 or params.min_p > 0


def _weights(logits: Tensor, settings: _Settings) -> Tensor:
    """Unnormalised probabilities (R, V) in float64, 1 for the best token.

    Each is computed from its own logit and the row's best: no sum whose order could depend on other rows.
    """
    values = logits.double() - logits.amax(-1, keepdim=True)
    # In place: (R, V) is tens of megabytes.
    return values.div_(settings.temperature).exp_()


def _draw_any(weights: Tensor, settings: _Settings) -> Tensor:
    """(R,) tokens drawn from all, by inverting the cumulated weights in the order of ids."""
    cumulated = weights.cumsum(-1)
    return _invert(cumulated, cumulated[:, -1:], settings.uniform)


def _draw_filtered(weights: Tensor, settings: _Settings) -> Tensor:
    """(R,) tokens drawn after top-k, top-p and min-p, in this order, as transformers does."""
    size = weights.shape[1]
    total = weights.cumsum(-1)[:, -1:]
    count = min(size, NUM_CANDIDATES)
    values, token_ids = most_likely(weights, count)
    chosen, is_enough = _draw_sorted(values, settings, total)
    token_ids = token_ids.gather(1, chosen[:, None])[:, 0]
    if count == size or bool(is_enough.all()):
        return token_ids
    rows = (~is_enough).nonzero()[:, 0]
    values, all_ids = weights[rows].sort(dim=-1, descending=True, stable=True)
    chosen, _ = _draw_sorted(values, settings[rows], total[rows])
    token_ids[rows] = all_ids.gather(1, chosen[:, None])[:, 0]
    return token_ids


def _draw_sorted(weights: Tensor, settings: _Settings, total: Tensor) -> tuple[Tensor, Tensor]:
    """(R,) places in sorted weights (R, K), and whether K were enough: tokens beyond them are left out for sure.

    total (R, 1): the weight of all V tokens.
    """
    cumulated = weights.cumsum(-1)
    rank = torch.arange(weights.shape[1], device=weights.device)
    # top-k comes first: top-p is a share of what it leaves.
    last = (settings.top_k.clamp(max=weights.shape[1]) - 1).long()
    total = torch.where(settings.top_k < torch.inf, cumulated.gather(1, last), total)
    # The first token whose predecessors already make up top_p is one too many.
    keep = (cumulated - weights < settings.top_p * total) & (rank < settings.top_k)
    keep &= (weights >= settings.min_p * weights[:, :1]) & (weights > 0)
    num_kept = keep.sum(-1, keepdim=True).clamp(min=1)
    kept = cumulated.gather(1, num_kept - 1)
    chosen = _invert(cumulated, kept, settings.uniform)
    is_enough = weights.gather(1, num_kept - 1)[:, 0] > weights[:, -1]
    # With top_k beyond K its share of the weights is not known yet.
    return chosen, is_enough & ((settings.top_k <= weights.shape[1]) | (settings.top_k == torch.inf))[:, 0]


def _invert(cumulated: Tensor, total: Tensor, uniform: Tensor) -> Tensor:
    """(R,) the first places where cumulated weights (R, K) exceed uniform * total, both (R, 1)."""
    # Rounding must not reach the total: behind it come only tokens of weight 0.
    target = torch.minimum(uniform * total, total.nextafter(torch.zeros_like(total)))
    return torch.searchsorted(cumulated, target, right=True)[:, 0].clamp(max=cumulated.shape[1] - 1)


def most_likely(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` largest values of each row and their places, in the order of a full stable sort.

    Of several that equal the last one, any may be among them.
    """
    _, places = values.topk(count, dim=-1, sorted=False)
    places = places.sort(dim=-1).values
    found, order = values.gather(1, places).sort(dim=-1, descending=True, stable=True)
    return found, places.gather(1, order)
