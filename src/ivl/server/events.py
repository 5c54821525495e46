"""Pieces of answers as server-sent events.

In: responses of one request, and the shape that its answers have. Out: bytes. Knows no connection.
"""

import json
from dataclasses import replace
from typing import Any

from ivl.server.job import Job, Usage
from ivl.types import Response

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
_MARK = "\ue000the text\ue000"
"""Stands for the text in an event's form. Told from what else is in it, because it is looked for as a whole value."""
END = b"data: [DONE]\n\n"


def as_json(value: Any) -> bytes:
    """A value as JSON; half a surrogate pair, which has no UTF-8, as a question mark."""
    return _ENCODER.encode(value).encode("utf-8", "replace")


def as_event(value: Any) -> bytes:
    """A value as one event."""
    return b"data: " + as_json(value) + b"\n\n"


class Events:
    """Writes the events of one request.

    Most pieces add a text and nothing else, and their events differ in that text alone: the bytes around it are made
    once for each answer, from what the shape says of such a piece, and kept.
    """

    def __init__(self, job: Job) -> None:
        self._shape = job.shape
        self._include_usage = job.include_usage
        self._around: dict[int, tuple[bytes, bytes]] = {}

    def event(self, response: Response) -> bytes:
        """A piece of one answer; empty where it has nothing to tell."""
        is_plain = response.finish_reason is None and response.logprobs is None
        around = self._around.get(response.index) if is_plain else None
        if around is not None:
            return around[0] + as_json(response.text) + around[1] if response.text else b""
        content = self._whole(response)
        if is_plain and content:
            self._around[response.index] = self._bytes_around(response)
        return content

    def usage(self, usage: Usage) -> bytes:
        """The tokens used, which come last."""
        return as_event(self._shape.usage_chunk(usage)) if self._include_usage else b""

    def _whole(self, response: Response) -> bytes:
        chunk = self._shape.chunk(response)
        if chunk is None:
            return b""
        if self._include_usage:
            chunk["usage"] = None  # it comes in a chunk of its own
        return as_event(chunk)

    def _bytes_around(self, response: Response) -> tuple[bytes, bytes]:
        """What stands before and behind the text of all further plain pieces of this answer."""
        before, mark, behind = self._whole(replace(response, text=_MARK)).rpartition(as_json(_MARK))
        assert mark, "a piece of an answer is told without its text"
        return before, behind
