"""A conversation, what a model reads of it, and what it answers: frozen dataclasses without behaviour.

In: nothing. Out: values. Knows no settings, and no torch at import time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    import PIL.Image
    import torch

ImageSource: TypeAlias = "str | Path | bytes | PIL.Image.Image"
Role: TypeAlias = Literal["system", "user", "assistant"]
FinishReason: TypeAlias = Literal["stop", "length", "abort"]


@dataclass(frozen=True, kw_only=True)
class TextPart:
    """A piece of a message's text. `<image>` in it marks the place of one of the message's images."""

    text: str


@dataclass(frozen=True, kw_only=True)
class ImagePart:
    """A picture in a message: a path, URL, data URI, encoded bytes or PIL image."""

    source: ImageSource
    max_tiles: int | None = None
    """Upper bound of tiles for this picture; None: the model's own."""


@dataclass(frozen=True, kw_only=True)
class VideoPart:
    """A video in a message: a file that PyAV reads, an animated picture, a folder of frames, or frames."""

    source: str | Path | bytes = b""
    """A path, data URI or bytes; empty where `frames` are given."""
    num_frames: int = 8
    """Frames taken, evenly spaced, one tile each, from start_s to end_s in seconds (None: all; not for a folder)."""
    start_s: float | None = None
    end_s: float | None = None
    frames: tuple[PIL.Image.Image, ...] | None = None
    """Frames that are read already, all of which are taken, in place of a source."""


Part: TypeAlias = TextPart | ImagePart | VideoPart


@dataclass(frozen=True, kw_only=True)
class Message:
    """One turn of a conversation."""

    role: Role
    parts: tuple[Part, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelInputs:
    """What the model reads: token ids, tiles, and for training the labels.

    T tokens, N tiles of all images, S pixels a side.
    """

    input_ids: torch.Tensor
    """(T,) int64."""
    pixel_values: torch.Tensor | None = None
    """(N, 3, S, S) float32, normalised; None without images."""
    tile_counts: tuple[int, ...] = ()
    """Tiles of each image, thumbnail included, in the order of the text."""
    image_digests: tuple[str, ...] = ()
    """SHA-256 of each image's content and options, aligned with tile_counts; empty for training samples."""
    labels: torch.Tensor | None = None
    """(T,) int64, aligned with input_ids, -100 where nothing is trained; None for a prompt."""


@dataclass(frozen=True, kw_only=True)
class TokenLogprob:
    """Log-probabilities at one generated position, as the model gives them.

    They are those of its whole vocabulary: before repetition_penalty, temperature and the filters, and before what bars
    tokens (allowed_token_ids, bad words, the answer's form).
    """

    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()
    """The most likely tokens as (token id, log-probability), best first."""


@dataclass(frozen=True, kw_only=True)
class Response:
    """An answer; while streaming, `text` and `token_ids` hold only what is new.

    Of an answer that the asker began, it holds what the model went on with, without the beginning.
    """

    text: str
    token_ids: tuple[int, ...] = ()
    finish_reason: FinishReason | None = None
    """"stop": an end token or stop word; "length": max_new_tokens or the session's end; None: goes on."""
    input_token_len: int = 0
    cached_token_len: int = field(default=0, compare=False)
    """Tokens of the prompt that were found in the cache."""
    generate_token_len: int = 0
    logprobs: tuple[TokenLogprob, ...] | None = None
    index: int = 0
    """Which of the n answers to a prompt this is."""
