"""Completions: a request -> plain texts that go on; pieces of answers -> chunks.

In: a request's bytes. Out: a Job, and what starts it. Knows no HTTP and no chat.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ivl.errors import InputError
from ivl.server.errors import ApiError, api_error
from ivl.server.generation import generation_config
from ivl.server.job import Job, Prepare, Usage, head, usage_of
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
    if request.echo and request.logprobs is not None:
        raise ApiError(400, "echo is not allowed with logprobs: those of a prompt's tokens are not given", param="echo")
    prompts = _prompts(request)
    shape = CompletionShape(model, state.logprobs(gen_config), gen_config.n)
    salt = record.key

    def prepare() -> AnswerStream:
        try:
            answers = state.pipe.complete(prompts, gen_config, adapter=adapter, cache_salt=salt)
        except InputError as error:
            told = api_error(error)
            raise ApiError(told.status, told.message, code=told.code, param="prompt") from error
        if request.echo:
            decode = state.pipe.processor.tokenizer.decode
            shape.echoes = [prompt if isinstance(prompt, str) else decode(list(prompt)) for prompt in prompts]
        return answers

    job = Job(
        model=model,
        gen_config=gen_config,
        num_answers=gen_config.n * len(prompts),
        is_stream=bool(request.stream),
        include_usage=request.stream_options is not None and request.stream_options.include_usage,
        num_images=0,
        hold=state.tiles.hold(),
        shape=shape,
    )
    return job, prepare


class CompletionShape:
    """`text_completion`, whole and in chunks, which look alike. n: answers to each prompt."""

    def __init__(self, model: str, logprobs: Logprobs, n: int) -> None:
        self._head = head("cmpl", "text_completion", model)
        self._logprobs = logprobs
        self._n = n
        self._offsets: Counter[int] = Counter()
        self._begun: set[int] = set()
        self.echoes: list[str] = []
        """The prompts' texts, where they stand before their answers."""

    def chunk(self, response: Response) -> dict[str, Any] | None:
        """A piece of one answer."""
        choice = self._choice(response)
        self._offsets[response.index] += len(response.text)
        if not (choice["text"] or response.finish_reason or choice["logprobs"]):
            return None
        return {**self._head, "choices": [choice]}

    def usage_chunk(self, usage: Usage) -> dict[str, Any]:
        """The tokens used, without any choice."""
        return {**self._head, "choices": [], "usage": usage}

    def whole(self, responses: Sequence[Response]) -> dict[str, Any]:
        """All answers."""
        choices = [self._choice(each) for each in responses]
        return {**self._head, "choices": choices, "usage": usage_of(responses, self._n)}

    def _choice(self, response: Response) -> dict[str, Any]:
        is_first = response.index not in self._begun
        self._begun.add(response.index)
        echo = self.echoes[response.index // self._n] if self.echoes and is_first else ""
        return {
            "index": response.index,
            "text": echo + response.text,
            "logprobs": self._logprobs.completion(response, self._offsets[response.index]),
            "finish_reason": response.finish_reason,
        }


def _prompts(request: CompletionRequest) -> list[str] | list[list[int]]:
    """All prompts, where one is given too."""
    prompt = request.prompt
    if isinstance(prompt, str):
        return [prompt]
    first = prompt[0]
    return [prompt] if isinstance(first, int) else prompt  # type: ignore[return-value]
