"""What enters the engine and what leaves it, as data."""

from dataclasses import dataclass

from torch import Tensor

from ivl.types import FinishReason, TokenLogprob


@dataclass(frozen=True, kw_only=True)
class SamplingParams:
    """How the next token is chosen; every value is already checked and explicit."""

    max_new_tokens: int
    stop_token_ids: frozenset[int] = frozenset()
    temperature: float = 0.0
    """0 takes the most likely token."""
    top_k: int = 0
    """0 is off."""
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    min_new_tokens: int = 0
    seed: int | None = None
    """None draws a fresh seed."""
    logprobs: int | None = None
    """How many likely tokens are reported beside the chosen one; None reports nothing."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Request:
    """One prompt to be continued. T tokens, N tiles, S pixels a side."""

    input_ids: Tensor
    """(T,) int64."""
    pixel_values: Tensor | None
    """(N, 3, S, S) float32, or None without images."""
    sampling: SamplingParams


@dataclass(frozen=True, kw_only=True)
class TokenOutput:
    """One generated token."""

    token_id: int
    finish_reason: FinishReason | None = None
    """Set on the last token: "stop" when it is a stop token, else "length"."""
    logprob: TokenLogprob | None = None
