"""Times and counts of answers, as their pieces come.

In: pieces, on the event loop. Out: what metrics and a request's record say of them. Knows no connection.
"""

from ivl.server.metrics import Metrics
from ivl.server.record import Record
from ivl.types import Response


class Meter:
    """Of one request. n: answers to each of its prompts."""

    def __init__(self, metrics: Metrics, record: Record, model: str, n: int) -> None:
        self._metrics = metrics
        self._model = model
        self._n = n
        self._seen: dict[int, float] = {}
        self._ends: dict[int, Response] = {}
        self.record = record

    @property
    def last(self) -> list[Response]:
        """The last piece of each answer."""
        return [self._ends[index] for index in sorted(self._ends)]

    def note(self, response: Response) -> None:
        """A piece has come."""
        record, metrics, now = self.record, self._metrics, self.record.age_s
        if record.ttft_ms is None:
            record.ttft_ms = round(1000 * now, 1)
            metrics.ttft.observe(now)
        before = self._seen.get(response.index)
        if before is not None:
            metrics.itl.observe(now - before)
        elif response.index % self._n == 0:  # several answers share a prompt
            record.prompt_tokens += response.input_token_len
        self._seen[response.index] = now
        record.completion_tokens += 1
        if response.finish_reason:
            self._ends[response.index] = response
            metrics.finishes[self._model, response.finish_reason] += 1
            record.finish = ",".join(str(end.finish_reason) for end in self.last)
