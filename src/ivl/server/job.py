"""A request made ready: what is asked of the session, and the shape of what goes back.

In: nothing. Out: values. Knows no HTTP.
"""

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ivl._version import __version__
from ivl.server.limits import TileHold
from ivl.session import AnswerStream
from ivl.types import GenerationConfig, Response

Prepare = Callable[[], AnswerStream]
"""Reads the pictures and starts the answers; for a thread of its own. Raises IvlError and ApiError."""
Usage = dict[str, Any]
"""OpenAI's `usage`."""


class Shape(Protocol):
    """How answers are written."""

    def chunk(self, response: Response) -> dict[str, Any] | None:
        """A piece of a streamed answer; None where there is nothing to tell."""
        ...

    def usage_chunk(self, usage: Usage) -> dict[str, Any]:
        """The last chunk, where the client asked for the tokens used."""
        ...

    def whole(self, responses: Sequence[Response]) -> dict[str, Any]:
        """All answers at once."""
        ...


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to do for a request."""

    model: str
    """The served name."""
    gen_config: GenerationConfig
    num_answers: int
    """To all prompts together."""
    is_stream: bool
    include_usage: bool
    num_images: int
    hold: TileHold
    """What its pictures take in memory; to be released when the answers have ended."""
    shape: Shape


def head(prefix: str, kind: str, model: str) -> dict[str, Any]:
    """What every answer begins with."""
    return {
        "id": f"{prefix}-{uuid.uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": model,
        "system_fingerprint": f"ivl-{__version__}",
    }


def usage_of(responses: Sequence[Response], n: int) -> Usage:
    """Tokens of all prompts and their n answers each, of which these are the last pieces or the whole."""
    firsts = [response for response in responses if response.index % n == 0]
    prompts = sum(first.input_token_len for first in firsts)
    answers = sum(response.generate_token_len for response in responses)
    return {
        "prompt_tokens": prompts,
        "completion_tokens": answers,
        "total_tokens": prompts + answers,
        "prompt_tokens_details": {"cached_tokens": sum(first.cached_token_len for first in firsts)},
    }
