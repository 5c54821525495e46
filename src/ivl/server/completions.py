"""Completions: a request -> a plain text that goes on; pieces of answers -> chunks.

In: a request's bytes. Out: a Job, and what starts it. Knows no HTTP and no chat.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ivl.server.generation import generation_config
from ivl.server.job import Job, Prepare, head, usage_of
from ivl.server.logprobs import Logprobs
from ivl.server.record import Record
from ivl.server.schema import CompletionRequest
from ivl.server.state import State
from ivl.session import AnswerStream
from ivl.types import Response


def completion_job(raw: bytes, state: State, record: Record) -> tuple[Job, Prepare]:
    """What a request's body asks for. Raises ApiError, SettingsError and pydantic's ValidationError."""
    request = CompletionRequest.model_validate_json(raw)
    model, adapter = state.adapter(request.model)
    gen_config = generation_config(request, state.settings, state.pipe.session_len)
    salt = record.key

    def prepare() -> AnswerStream:
        return state.pipe.complete(request.prompt, gen_config, adapter=adapter, cache_salt=salt)

    job = Job(
        model=model,
        gen_config=gen_config,
        is_stream=bool(request.stream),
        include_usage=request.stream_options is not None and request.stream_options.include_usage,
        num_images=0,
        hold=state.tiles.hold(),
        shape=CompletionShape(model, state.logprobs(gen_config)),
    )
    return job, prepare


class CompletionShape:
    """`text_completion`, whole and in chunks, which look alike."""

    def __init__(self, model: str, logprobs: Logprobs) -> None:
        self._head = head("cmpl", "text_completion", model)
        self._logprobs = logprobs
        self._offsets: Counter[int] = Counter()

    def chunk(self, response: Response) -> dict[str, Any] | None:
        """A piece of one answer."""
        choice = self._choice(response)
        self._offsets[response.index] += len(response.text)
        if not (response.text or response.finish_reason or choice["logprobs"]):
            return None
        return {**self._head, "choices": [choice]}

    def usage_chunk(self, usage: dict[str, int]) -> dict[str, Any]:
        """The tokens used, without any choice."""
        return {**self._head, "choices": [], "usage": usage}

    def whole(self, responses: Sequence[Response]) -> dict[str, Any]:
        """All answers."""
        return {**self._head, "choices": [self._choice(each) for each in responses], "usage": usage_of(responses)}

    def _choice(self, response: Response) -> dict[str, Any]:
        return {
            "index": response.index,
            "text": response.text,
            "logprobs": self._logprobs.completion(response, self._offsets[response.index]),
            "finish_reason": response.finish_reason,
        }
