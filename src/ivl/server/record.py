"""What is written down of one request: a line of JSON, without anything that a client or a model said.

In: what happens to a request. Out: its line. Knows no framework.
"""

import json
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TextIO


@dataclass(kw_only=True)
class Record:
    """One request, from its arrival on."""

    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    method: str = ""
    route: str = ""
    """One of the server's own, or "other"."""
    status: int = 0
    key: str = ""
    """The name of the API key."""
    model: str = ""
    """A served name; empty for others."""
    stream: bool = False
    n: int = 0
    images: int = 0
    tiles: int = 0
    body_bytes: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    finish: str = ""
    """Finish reasons, one for each answer; or "disconnect"."""
    error: str = ""
    """An error's code, or where our own code failed."""
    ttft_ms: float | None = None
    total_ms: float = 0.0
    began: float = field(default_factory=time.monotonic)

    @property
    def age_s(self) -> float:
        return time.monotonic() - self.began


class RequestLog:
    """Writes lines to a stream; None writes nothing."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def write(self, record: Record) -> None:
        """The request's line: fields that say nothing are left out."""
        if self._stream is None:
            return
        values: dict[str, Any] = {"time": datetime.now(UTC).isoformat(timespec="milliseconds")}
        values |= {name: value for name, value in vars(record).items() if value or name == "status"}
        del values["began"]
        print(json.dumps(values), file=self._stream, flush=True)
