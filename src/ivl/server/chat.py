"""Chat completions: a request -> messages of the session; pieces of answers -> chunks.

In: a request's bytes. Out: a Job, and what starts it. Knows no HTTP.
"""

from collections.abc import Sequence
from typing import Any

from ivl.server.errors import ApiError
from ivl.server.generation import generation_config
from ivl.server.job import Job, Prepare, Usage, head, usage_of
from ivl.server.logprobs import Logprobs
from ivl.server.record import Record
from ivl.server.schema import ChatMessage, ChatRequest, ImageUrl, TextContent, VideoContent
from ivl.server.state import State
from ivl.server.tools import check_tools
from ivl.server.video import check_frames, video_limits
from ivl.session import AnswerStream, count_tiles
from ivl.types import ImagePart, Message, Part, Response, Role, TextPart, VideoPart


def chat_job(raw: bytes, state: State, record: Record) -> tuple[Job, Prepare]:
    """What a request's body asks for. Raises ApiError, SettingsError and pydantic's ValidationError."""
    request = ChatRequest.model_validate_json(raw)
    model, adapter = state.adapter(request.model)
    gen_config = generation_config(request, state.settings, state.pipe.session_len)
    check_tools(request, state.pipe.processor.template.name)
    media = request.media_io_kwargs
    num_frames = media.video.num_frames if media and media.video else None
    messages = tuple(_message(message, num_frames) for message in request.messages)
    num_images = sum(not isinstance(part, TextPart) for message in messages for part in message.parts)
    _check_counts(messages, num_images, state)
    check_frames(messages, state.settings)
    salt, hold = record.key, state.tiles.hold()

    def prepare() -> AnswerStream:
        loaded = state.pipe.loaded(
            messages,
            limits=state.image_limits,
            video_limits=video_limits(messages, state.settings),
            fetch_policy=state.fetch_policy,
            allow_paths=False,
        )
        record.tiles = _checked_tiles(loaded, state)
        hold.take(record.tiles)
        return state.pipe.stream(loaded, gen_config, adapter=adapter, cache_salt=salt)

    shape = ChatShape(model, state.logprobs(gen_config), gen_config.n)
    job = Job(
        model=model,
        gen_config=gen_config,
        num_answers=gen_config.n,
        is_stream=bool(request.stream),
        include_usage=request.stream_options is not None and request.stream_options.include_usage,
        num_images=num_images,
        hold=hold,
        shape=shape,
    )
    return job, prepare


class ChatShape:
    """`chat.completion` and `chat.completion.chunk`."""

    def __init__(self, model: str, logprobs: Logprobs, n: int) -> None:
        self._head = head("chatcmpl", "chat.completion", model)
        self._chunk_head = {**self._head, "object": "chat.completion.chunk"}
        self._n = n
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

    def usage_chunk(self, usage: Usage) -> dict[str, Any]:
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
        return {**self._head, "choices": choices, "usage": usage_of(responses, self._n)}


def _message(message: ChatMessage, num_frames: int | None) -> Message:
    """The session's form of a message. num_frames: of videos that do not say it themselves."""
    assert message.role != "tool", "tools were not refused"
    role: Role = "system" if message.role == "developer" else message.role
    if isinstance(message.content, str):
        return Message(role=role, parts=(TextPart(text=message.content),))
    parts: list[Part] = []
    for part in message.content:
        if isinstance(part, TextContent):
            parts.append(TextPart(text=part.text))
        elif isinstance(part, VideoContent):
            count = part.video_url.num_frames or num_frames
            source = part.video_url.url
            parts.append(VideoPart(source=source) if count is None else VideoPart(source=source, num_frames=count))
        else:
            parts.append(ImagePart(source=part.image_url.url, max_tiles=_max_tiles(part.image_url)))
    return Message(role=role, parts=tuple(parts))


def _max_tiles(image: ImageUrl) -> int | None:
    return image.max_tiles or image.max_dynamic_patch or (1 if image.detail == "low" else None)


def _check_counts(messages: Sequence[Message], num_images: int, state: State) -> None:
    settings = state.settings
    if len(messages) > settings.max_messages:
        raise ApiError(
            400, f"messages holds {len(messages)}: at most {settings.max_messages} are read", param="messages"
        )
    if num_images > settings.max_images:
        raise ApiError(
            400,
            f"the request holds {num_images} pictures and videos: at most {settings.max_images} are read",
            param="messages",
        )


def _checked_tiles(messages: Sequence[Message], state: State) -> int:
    """Tiles of the pictures, which are not cut yet, and of the videos. Raises ApiError where they are too many."""
    total = count_tiles(messages, state.pipe.processor)
    if total > state.settings.max_tiles:
        raise ApiError(
            400,
            f"the pictures and frames would be {total} tiles: at most {state.settings.max_tiles} are read, so send "
            'fewer, or give image_url a smaller "max_tiles" or "detail": "low"',
            code="too_many_tiles",
            param="messages",
        )
    return total
