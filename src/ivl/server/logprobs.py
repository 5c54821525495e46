"""Log-probabilities in the two forms of OpenAI's answers.

In: pieces of answers. Out: plain values for JSON. Knows no requests.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from ivl.types import Response, TokenLogprob

_LOWEST = -9999.0
"""JSON has no infinity; OpenAI's own stand-in."""


class Vocabulary(Protocol):
    """What is needed of a tokenizer."""

    def token_bytes(self, token_id: int) -> bytes:
        """UTF-8 bytes, perhaps part of a character, that an id stands for."""
        ...


class Logprobs:
    """Writes tokens as clients read them. end_token_ids: what ends an answer and is no part of it."""

    def __init__(self, tokenizer: Vocabulary, end_token_ids: frozenset[int]) -> None:
        self._tokenizer = tokenizer
        self._end_token_ids = end_token_ids

    def chat(self, response: Response) -> dict[str, Any] | None:
        """The form of chat completions; None where none were asked for."""
        if response.logprobs is None:
            return None
        content = [
            {
                **self._token(entry.token_id, entry.logprob),
                "top_logprobs": [self._token(token_id, logprob) for token_id, logprob in entry.top],
            }
            for entry in self._spoken(response)
        ]
        return {"content": content, "refusal": None}

    def completion(self, response: Response, offset: int) -> dict[str, Any] | None:
        """The form of completions. offset: characters of the answer before this piece."""
        if response.logprobs is None:
            return None
        entries = self._spoken(response)
        tokens = [self._text(entry.token_id) for entry in entries]
        offsets = [offset + sum(map(len, tokens[:position])) for position in range(len(tokens))]
        return {
            "tokens": tokens,
            "token_logprobs": [max(entry.logprob, _LOWEST) for entry in entries],
            "top_logprobs": [
                {self._text(token_id): max(logprob, _LOWEST) for token_id, logprob in entry.top} for entry in entries
            ],
            "text_offset": offsets,
        }

    def _spoken(self, response: Response) -> Sequence[TokenLogprob]:
        entries = response.logprobs or ()
        is_ended = response.finish_reason == "stop" and entries and entries[-1].token_id in self._end_token_ids
        return entries[:-1] if is_ended else entries

    def _token(self, token_id: int, logprob: float) -> dict[str, Any]:
        raw = self._tokenizer.token_bytes(token_id)
        return {"token": self._text(token_id), "logprob": max(logprob, _LOWEST), "bytes": list(raw)}

    def _text(self, token_id: int) -> str:
        return self._tokenizer.token_bytes(token_id).decode("utf-8", "replace")
