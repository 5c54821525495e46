"""Answers made of given tokens only: `allowed_token_ids` becomes a mask of tokens, without any grammar.

In: token ids and a vocabulary's size. Out: a token mask for the engine, the same at every step. Knows no engine, no
model and no text.

V vocabulary, W = ceil(V / 32) words.
"""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import Self

import torch
from torch import Tensor

from ivl.errors import SettingsError


class AllowedTokens:
    """The same tokens at every step; an engine's token mask. Its words are made once and never change.

    token_ids: at least one. barred: what other settings keep from coming first. vocab_size: V of the model's logits.
    Raises SettingsError for a token that is not in the vocabulary, and where all are barred.
    """

    def __init__(self, token_ids: Iterable[int], barred: AbstractSet[int], vocab_size: int) -> None:
        allowed = sorted(set(token_ids))
        assert allowed, "a config with no allowed token is refused"
        if allowed[-1] >= vocab_size:
            raise SettingsError(
                f"allowed_token_ids holds {allowed[-1]}, which is no token of this model: "
                f"its ids are 0 to {vocab_size - 1}"
            )
        if barred >= set(allowed):
            raise SettingsError(
                "allowed_token_ids cannot be followed: bad_words, bad_token_ids and min_new_tokens bar every one; "
                "allow one more or loosen those"
            )
        ids = torch.tensor(allowed)
        words = torch.zeros(-(-vocab_size // 32), dtype=torch.int64).index_add_(0, ids // 32, 1 << ids % 32)
        self._words = (words - (words >> 31 << 32)).to(torch.int32)

    def bitmask(self) -> Tensor:
        """(W,) int32 on the host."""
        return self._words

    def accept(self, token_id: int) -> None:
        """Nothing changes with a token."""

    def copy(self) -> Self:
        """Another answer's mask: this one, which remembers nothing."""
        return self
