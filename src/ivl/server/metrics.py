"""Counts and times of a server, in Prometheus's text format.

In: what happens, on the event loop. Out: text. Labels hold only words of our own and the served models' names.
"""

import bisect
from collections import Counter
from collections.abc import Iterator, Sequence

_TTFT_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_ITL_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_TOTAL_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_ENGINE = {
    "running": ("gauge", "Answers that the engine is giving."),
    "waiting": ("gauge", "Answers that wait for the engine."),
    "num_blocks": ("gauge", "Blocks of the key-value cache."),
    "free_blocks": ("gauge", "Blocks of it that nobody holds."),
    "feature_bytes": ("gauge", "Bytes of picture features kept."),
    "prompt_tokens": ("counter", "Tokens of prompts."),
    "cached_tokens": ("counter", "Tokens of prompts that were found in the cache."),
    "generated_tokens": ("counter", "Tokens of answers."),
    "preemptions": ("counter", "Answers that had to give their blocks back."),
    "encoded_tiles": ("counter", "Tiles that the vision model has encoded."),
    "cached_tiles": ("counter", "Tiles whose features were found in the cache."),
}


class Histogram:
    """How often values fell under each of some bounds."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect.bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, name: str) -> Iterator[str]:
        total = 0
        for bound, count in zip((*self._bounds, "+Inf"), self._counts, strict=True):
            total += count
            yield f'{name}_bucket{{le="{bound}"}} {total}'
        yield f"{name}_sum {self._sum:.6f}"
        yield f"{name}_count {total}"


class Metrics:
    """Everything a server counts."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()
        """By route and status."""
        self.finishes: Counter[tuple[str, str]] = Counter()
        """Answers, by model and finish reason."""
        self.ttft = Histogram(_TTFT_S)
        self.itl = Histogram(_ITL_S)
        self.total = Histogram(_TOTAL_S)

    def text(self, stats: object, num_answers: int, body_bytes: int, tiles: int, is_draining: bool) -> str:
        """All of it, as of now. stats: the pipeline's."""
        lines: list[str] = []

        def add(name: str, kind: str, about: str, values: Iterator[str] | list[str]) -> None:
            lines.extend([f"# HELP {name} {about}", f"# TYPE {name} {kind}", *values])

        for field, (kind, about) in _ENGINE.items():
            name = f"ivl_engine_{field}" + ("_total" if kind == "counter" else "")
            add(name, kind, about, [f"{name} {getattr(stats, field)}"])
        for name, about, value in (
            ("ivl_answers", "Answers that are prepared, wait or run.", num_answers),
            ("ivl_body_bytes", "Bytes of requests in memory.", body_bytes),
            ("ivl_tiles", "Tiles of requests in memory.", tiles),
            ("ivl_draining", "1 while the server ends.", int(is_draining)),
        ):
            add(name, "gauge", about, [f"{name} {value}"])
        name = "ivl_requests_total"
        rows = [f'{name}{{route="{route}",status="{code}"}} {n}' for (route, code), n in sorted(self.requests.items())]
        add(name, "counter", "Requests by route and status.", rows)
        name = "ivl_answers_total"
        rows = [
            f'{name}{{model="{_label(m)}",finish_reason="{why}"}} {n}' for (m, why), n in sorted(self.finishes.items())
        ]
        add(name, "counter", "Answers by model and finish reason.", rows)
        for name, about, histogram in (
            ("ivl_time_to_first_token_seconds", "From a request's arrival to its first token.", self.ttft),
            ("ivl_inter_token_latency_seconds", "Between two tokens of an answer.", self.itl),
            ("ivl_request_seconds", "From a request's arrival to its end.", self.total),
        ):
            add(name, "histogram", about, histogram.lines(name))
        return "\n".join(lines) + "\n"


def _label(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
