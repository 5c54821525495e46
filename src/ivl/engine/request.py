"""What enters the engine and what leaves it, as data.

T prompt tokens, N tiles, I image tokens of a tile, S pixels a side, V vocabulary.
"""

from dataclasses import dataclass, field
from typing import Protocol

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
    bad_token_ids: tuple[tuple[int, ...], ...] = ()
    """Sequences of tokens that must not appear in the answer."""


class TokenMask(Protocol):
    """Which tokens may come next; made by `session` from a grammar, one for each request."""

    def bitmask(self) -> Tensor:
        """(ceil(V / 32),) int32 on the host; bit i of word w is set where token 32 * w + i may come next."""
        ...

    def accept(self, token_id: int) -> None:
        """Take the chosen token in. Raises an IvlError when the grammar cannot go on."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Request:
    """One prompt to be continued."""

    input_ids: Tensor
    """(T,) int64."""
    pixel_values: Tensor | None
    """(N, 3, S, S), or None without images."""
    sampling: SamplingParams
    tile_digests: tuple[bytes, ...] = ()
    """One for each tile, equal only for tiles of equal pixels; made from the pixels where it is left empty."""
    adapter: str | None = None
    """The name of a loaded adapter; None: the base model."""
    priority: int = 0
    """Lower runs first."""
    cache_salt: str = ""
    """Cached beginnings and features are shared only between requests of one salt."""
    token_mask: TokenMask | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class TokenOutput:
    """One generated token."""

    token_id: int
    finish_reason: FinishReason | None = None
    """Set on the last token: "stop" when it is a stop token, else "length"."""
    logprob: TokenLogprob | None = None
    num_shared: int = 0
    """Tokens of its prompt that were found in the cache when it began."""
