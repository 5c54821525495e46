"""Token ids to text, one at a time, never in the middle of a character.

In: ids in order. Out: the text that each one completes. The pieces joined are `Tokenizer.decode` of all ids.
Knows no stop words.
"""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ivl.processing.tokenizer import Tokenizer


class IncrementalDecoder:
    """Decodes a stream of ids.

    A character whose bytes are spread over several tokens comes out with the last of them. Text that was
    given out never changes. goes_on: the ids go on from an earlier text, so that a space at their front is
    one that was written.
    """

    def __init__(self, tokenizer: Tokenizer, skip_special_tokens: bool = True, goes_on: bool = False) -> None:
        self._tokenizer = tokenizer
        self._skip = skip_special_tokens
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")
        # Whether the next ordinary token has a space at its front that encoding put there.
        self._drops_space = tokenizer.space_rule != "keep" and not goes_on

    def push(self, token_id: int) -> str:
        """The new text, often one token's, empty while a character is incomplete."""
        added = self._tokenizer.added_token(token_id)
        if added is None:
            new = self._tokenizer.token_bytes(token_id)
            if self._drops_space:
                new = new.removeprefix(b" ")
                self._drops_space = False
            return self._utf8.decode(new)
        if self._tokenizer.space_rule == "each":
            self._drops_space = True
        elif token_id != self._tokenizer.bos_id:
            self._drops_space = False
        return "" if self._skip and added.special else self._utf8.decode(added.text.encode())

    def flush(self) -> str:
        """What is left at the end: U+FFFD for an incomplete character, else nothing."""
        return self._utf8.decode(b"", final=True)
