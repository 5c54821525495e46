"""An answer on its way to the terminal, and how long it takes."""

import time
from collections.abc import Iterator

from ivl.cli.terminal import write_answer
from ivl.types import Response


class Streaming:
    """Writes an answer to stdout as it comes; then knows its length and speed, even if it was stopped."""

    def __init__(self) -> None:
        self._begun = time.perf_counter()
        self._first = self._latest = self._begun
        self._response: Response | None = None

    def run(self, pieces: Iterator[Response]) -> None:
        """Write all pieces. What ends this early, as Ctrl-C does, closes the iterator: the answer stops."""
        try:
            for piece in pieces:
                self._latest = time.perf_counter()
                if self._response is None:
                    self._first = self._latest
                self._response = piece
                write_answer(piece.text)
        finally:
            close = getattr(pieces, "close", None)  # generators have it, other iterators need not
            if close is not None:
                close()

    @property
    def num_tokens(self) -> int:
        """Tokens generated so far."""
        return self._response.generate_token_len if self._response else 0

    @property
    def was_cut(self) -> bool:
        """Whether a limit rather than the model ended the answer."""
        return self._response is not None and self._response.finish_reason == "length"

    def summary(self) -> str:
        """Tokens, time to the first one, and speed after it."""
        if self._response is None:
            return "no answer"
        parts = [
            f"{self.num_tokens} token{'s' * (self.num_tokens != 1)}",
            f"first after {self._first - self._begun:.2f} s",
        ]
        if self.num_tokens > 1 and self._latest > self._first:
            parts.append(f"{(self.num_tokens - 1) / (self._latest - self._first):.1f} tokens/s")
        parts.append(f"prompt {self._response.input_token_len} tokens")
        return " · ".join(parts) + (" · cut at the limit" if self.was_cut else "")
