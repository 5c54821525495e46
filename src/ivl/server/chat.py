"""Chat completions: a request -> messages of the session; pieces of answers -> chunks.

In: a request's bytes. Out: a Job, and what starts it. Knows no HTTP.
"""

from collections.abc import Sequence
from typing import Any

from PIL.Image import Image

from ivl.server.errors import ApiError
from ivl.server.generation import generation_config
from ivl.server.job import Job, Prepare, head, usage_of
from ivl.server.logprobs import Logprobs
from ivl.server.record import Record
from ivl.server.schema import ChatMessage, ChatRequest, TextContent
from ivl.server.state import State
from ivl.session import AnswerStream
from ivl.types import ImagePart, Message, Part, Response, Role, TextPart


def chat_job(raw: bytes, state: State, record: Record) -> tuple[Job, Prepare]:
    """What a request's body asks for. Raises ApiError, SettingsError and pydantic's ValidationError."""
    request = ChatRequest.model_validate_json(raw)
    model, adapter = state.adapter(request.model)
    gen_config = generation_config(request, state.settings, state.pipe.session_len)
    messages = tuple(_message(message) for message in request.messages)
    num_images = sum(isinstance(part, ImagePart) for message in messages for part in message.parts)
    _check_counts(messages, num_images, state)
    salt, hold = record.key, state.tiles.hold()

    def prepare() -> AnswerStream:
        loaded = state.pipe.loaded(
            messages, limits=state.image_limits, fetch_policy=state.fetch_policy, allow_paths=False
        )
        record.tiles = _checked_tiles(loaded, state)
        hold.take(record.tiles)
        return state.pipe.stream(loaded, gen_config, adapter=adapter, cache_salt=salt)

    shape = ChatShape(model, state.logprobs(gen_config))
    job = Job(
        model=model,
        gen_config=gen_config,
        is_stream=bool(request.stream),
        include_usage=request.stream_options is not None and request.stream_options.include_usage,
        num_images=num_images,
        hold=hold,
        shape=shape,
    )
    return job, prepare


class ChatShape:
    """`chat.completion` and `chat.completion.chunk`."""

    def __init__(self, model: str, logprobs: Logprobs) -> None:
        self._head = head("chatcmpl", "chat.completion", model)
        self._logprobs = logprobs
        self._begun: set[int] = set()

    def chunk(self, response: Response) -> dict[str, Any] | None:
        """A piece of one answer; its first one says whose it is."""
        logprobs = self._logprobs.chat(response)
        is_first = response.index not in self._begun
        if not (is_first or response.text or response.finish_reason or logprobs):
            return None
        delta: dict[str, Any] = {"role": "assistant", "content": response.text} if is_first else {}
        if response.text:
            delta["content"] = response.text
        self._begun.add(response.index)
        choice = {
            "index": response.index,
            "delta": delta,
            "logprobs": logprobs,
            "finish_reason": response.finish_reason,
        }
        return {**self._chunk_head, "choices": [choice]}

    def usage_chunk(self, usage: dict[str, int]) -> dict[str, Any]:
        """The tokens used, without any choice."""
        return {**self._chunk_head, "choices": [], "usage": usage}

    def whole(self, responses: Sequence[Response]) -> dict[str, Any]:
        """All answers."""
        choices = [
            {
                "index": response.index,
                "message": {"role": "assistant", "content": response.text, "refusal": None},
                "logprobs": self._logprobs.chat(response),
                "finish_reason": response.finish_reason,
            }
            for response in responses
        ]
        return {**self._head, "choices": choices, "usage": usage_of(responses)}

    @property
    def _chunk_head(self) -> dict[str, Any]:
        return {**self._head, "object": "chat.completion.chunk"}


def _message(message: ChatMessage) -> Message:
    """The session's form of a message. Only texts and pictures come through: a video's source could be a path."""
    role: Role = "system" if message.role == "developer" else message.role
    if isinstance(message.content, str):
        return Message(role=role, parts=(TextPart(text=message.content),))
    parts: list[Part] = []
    for part in message.content:
        if isinstance(part, TextContent):
            parts.append(TextPart(text=part.text))
        else:
            low = 1 if part.image_url.detail == "low" else None
            parts.append(ImagePart(source=part.image_url.url, max_tiles=part.image_url.max_tiles or low))
    return Message(role=role, parts=tuple(parts))


def _check_counts(messages: Sequence[Message], num_images: int, state: State) -> None:
    settings = state.settings
    if len(messages) > settings.max_messages:
        raise ApiError(
            400, f"messages holds {len(messages)}: at most {settings.max_messages} are read", param="messages"
        )
    if num_images > settings.max_images:
        raise ApiError(
            400, f"the request holds {num_images} pictures: at most {settings.max_images} are read", param="messages"
        )


def _checked_tiles(messages: Sequence[Message], state: State) -> int:
    """Tiles that the pictures will be cut into; none is cut yet. Raises ApiError where they are too many."""
    processor, total = state.pipe.processor, 0
    for part in (part for message in messages for part in message.parts if isinstance(part, ImagePart)):
        assert isinstance(part.source, Image), "a picture was not read"
        total += processor.count_tiles(part.source.width, part.source.height, part.max_tiles or processor.max_tiles)
    if total > state.settings.max_tiles:
        raise ApiError(
            400,
            f"the pictures would be {total} tiles: at most {state.settings.max_tiles} are read, so send fewer, "
            'or give image_url a smaller "max_tiles" or "detail": "low"',
            code="too_many_tiles",
            param="messages",
        )
    return total
