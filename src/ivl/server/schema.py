"""What requests may hold, as pydantic models: OpenAI's fields, and some of this engine's own.

In: JSON. Out: checked values; pydantic's ValidationError names the field. What is not listed is refused, so that
nothing a client asked for is left out in silence; nothing here reaches a template, a loader or a file.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag

MAX_PROMPTS = 1024
"""Prompts of one request for completions."""
MAX_PROMPT_TOKENS = 2**18
"""Tokens of a prompt that is given as ids; no model here reads more."""


def _flag(value: Any) -> Any:
    """Python holds 0 for equal to False."""
    if not isinstance(value, bool | None):
        raise ValueError("a boolean is needed")
    return value


Off = Annotated[Literal[False], BeforeValidator(_flag)]


class Strict(BaseModel):
    """No unknown fields, no values of another type, no NaN."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class TextContent(Strict):
    type: Literal["text"]
    text: str = Field(description="`<image>` in it marks the place of a picture of this message.")


class ImageUrl(Strict):
    url: str = Field(description="A data URI (`data:image/png;base64,...`); http(s) URLs only where the server allows.")
    detail: Literal["auto", "low", "high"] = "auto"
    max_tiles: int | None = Field(None, ge=1, le=256, description="Tiles the picture is cut into at most.")
    max_dynamic_patch: int | None = Field(None, ge=1, le=256, description="LMDeploy's name for max_tiles.")


class ImageContent(Strict):
    type: Literal["image_url"]
    image_url: ImageUrl


class VideoUrl(Strict):
    url: str = Field(
        description="A data URI of a video file, an animated GIF, WebP or PNG, or of the frames themselves: "
        "`data:video/jpeg;base64,FRAME,FRAME...`; http(s) URLs only where the server allows."
    )
    num_frames: int | None = Field(
        None, ge=1, le=512, description="Frames taken, evenly spaced, one tile each; 8, or all that are sent as JPEG."
    )


class VideoContent(Strict):
    type: Literal["video_url"]
    video_url: VideoUrl


Part = Annotated[
    Annotated[TextContent, Tag("as text")]
    | Annotated[ImageContent, Tag("as image")]
    | Annotated[VideoContent, Tag("as video")],
    Discriminator(
        lambda part: {"text": "as text", "image_url": "as image", "video_url": "as video"}.get(_type_of(part)),
        custom_error_type="part_type",
        custom_error_message='a part has the type "text", "image_url" or "video_url"',
    ),
]
Content = Annotated[
    Annotated[str, Tag("as string")] | Annotated[list[Part], Tag("as parts")],
    Discriminator(lambda content: "as parts" if isinstance(content, list) else "as string"),
]


class ChatMessage(Strict):
    role: Literal["system", "developer", "user", "assistant", "tool"] = Field(description='"tool" is refused.')
    content: Content
    name: str | None = Field(None, description="Accepted and not used.")
    # What clients send back of an answer they got.
    refusal: str | None = None
    annotations: list[Any] | None = Field(None, max_length=0)
    audio: None = None
    function_call: None = None
    tool_calls: list[Any] | None = Field(None, description="Only empty.")
    tool_call_id: str | None = Field(None, description="Of a tool's message, which is refused.")


class VideoIo(Strict):
    num_frames: int | None = Field(None, ge=1, le=512)


class MediaIo(Strict):
    video: VideoIo | None = None


class StreamOptions(Strict):
    include_usage: bool = Field(False, description="Send the tokens used in a last chunk without choices.")
    include_obfuscation: bool = Field(False, description="Accepted and not used.")


class Sampling(Strict):
    """What both kinds of requests say about their answers. Without any sampling field the answer is greedy."""

    model: str | None = Field(None, description="The base model or an adapter; the base model where it is left out.")
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    n: int | None = Field(1, ge=1, le=128, description="Answers to the prompt.")
    max_tokens: int | None = Field(None, ge=1, le=2**31 - 1, description="Tokens of an answer at most.")
    temperature: float | None = Field(None, ge=0, le=100, description="0 is greedy.")
    top_p: float | None = Field(None, gt=0, le=1)
    stop: str | list[str] | None = Field(None, description="The answer ends before the first of these texts.")
    seed: int | None = Field(None, ge=-(2**63), lt=2**63, description="Same seed, prompt, settings: same answer.")
    top_k: int | None = Field(None, ge=0, description="An extension of this server.")
    min_p: float | None = Field(None, ge=0, le=1, description="An extension of this server.")
    repetition_penalty: float | None = Field(None, description="An extension of this server.")
    min_new_tokens: int | None = Field(None, ge=0, description="An extension of this server.")
    ignore_eos: bool | None = Field(None, description="An extension of this server, for benchmarks.")
    choice: list[str] | None = Field(None, description="The answer is one of these texts; an extension.")
    regex: str | None = Field(None, description="The whole answer matches this; an extension.")
    response_format: dict[str, Any] | None = Field(
        None, description='{"type": "json_schema", "json_schema": {"name": ..., "schema": {...}}} or "json_object".'
    )
    # Neutral values of what is not offered, and labels that change nothing.
    frequency_penalty: float | None = Field(None, ge=0, le=0, description="Only 0: use repetition_penalty.")
    presence_penalty: float | None = Field(None, ge=0, le=0, description="Only 0: use repetition_penalty.")
    logit_bias: dict[str, float] | None = Field(None, max_length=0, description="Only empty.")
    user: str | None = Field(None, description="Accepted and not used.")
    metadata: dict[str, str] | None = Field(None, description="Accepted and not used.")


class ChatRequest(Sampling):
    messages: list[ChatMessage] = Field(min_length=1, description="A last one of the assistant is gone on with.")
    max_completion_tokens: int | None = Field(None, ge=1, le=2**31 - 1)
    logprobs: bool | None = False
    top_logprobs: int | None = Field(None, ge=0, le=20)
    media_io_kwargs: MediaIo | None = Field(None, description="vLLM's way to say num_frames for all videos.")
    modalities: list[Literal["text"]] | None = None
    store: Off | None = None
    service_tier: Literal["auto", "default"] | None = None
    parallel_tool_calls: bool | None = Field(None, description="Accepted and not used.")
    tools: list[Any] | None = Field(None, description="Only empty: InternVL's chat templates have no tools.")
    tool_choice: Any = Field(None, description='Only "none" or "auto".')


TokenIds = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1, max_length=MAX_PROMPT_TOKENS)]
Prompt = Annotated[
    Annotated[str, Tag("as string")]
    | Annotated[Annotated[list[str], Field(max_length=MAX_PROMPTS)], Tag("as strings")]
    | Annotated[TokenIds, Tag("as ids")]
    | Annotated[Annotated[list[TokenIds], Field(max_length=MAX_PROMPTS)], Tag("as several ids")],
    Discriminator(
        lambda prompt: _kind_of_prompt(prompt),
        custom_error_type="prompt_type",
        custom_error_message="a text, a list of texts, ids of tokens, or a list of such lists is needed, none empty",
    ),
]


class CompletionRequest(Sampling):
    prompt: Prompt = Field(
        description="A text that goes on as it is, without a template; control tokens typed in it stay text. Or ids of "
        "tokens, which are taken as they are. Or a list of either, each of which gets n answers."
    )
    logprobs: int | None = Field(None, ge=0, le=20)
    best_of: int | None = Field(None, ge=1, description="Only as large as n.")
    echo: bool | None = Field(False, description="Put the prompt before its answer; not together with logprobs.")
    suffix: None = None


def _kind_of_prompt(prompt: Any) -> str | None:
    if isinstance(prompt, str):
        return "as string"
    first = prompt[0] if isinstance(prompt, list) and prompt else None
    kinds = {str: "as strings", int: "as ids", list: "as several ids"}
    return kinds.get(type(first))


def _type_of(part: Any) -> Any:
    kind = part.get("type") if isinstance(part, dict) else getattr(part, "type", None)
    return kind if isinstance(kind, str) else None
