"""Prompts made ready: what they show is read, what they say becomes tokens.

In: messages, or plain texts and token ids. Out: messages with pictures and frames in them, or token ids. Knows no
engine.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from PIL.Image import Image

from ivl.processing import Processor
from ivl.processing.fetch import FetchPolicy
from ivl.processing.images import ImageLimits, load_image
from ivl.processing.messages import to_messages
from ivl.processing.segments import Segment
from ivl.processing.video import VideoLimits, load_video
from ivl.types import ImagePart, Message, ModelInputs, Part, VideoPart

PlainPrompt = str | Sequence[int]
"""A text, or the ids of its tokens."""


def loaded_messages(
    prompt: Any,
    processor: Processor,
    *,
    limits: ImageLimits | None = None,
    video_limits: VideoLimits | None = None,
    fetch_policy: FetchPolicy | None = None,
    allow_paths: bool = True,
) -> tuple[Message, ...]:
    """A prompt's messages with every picture and video read; see `Pipeline.loaded`."""
    as_viewed = processor.as_viewed
    read = partial(load_image, as_viewed=as_viewed, limits=limits, fetch_policy=fetch_policy, allow_paths=allow_paths)
    watch = partial(
        load_video,
        as_viewed=as_viewed,
        limits=video_limits,
        fetch_policy=fetch_policy,
        allow_paths=allow_paths,
        tile_size=processor.config.image_size,
    )
    return tuple(
        Message(role=message.role, parts=tuple(_loaded(part, read, watch) for part in message.parts))
        for message in to_messages(prompt)
    )


def count_tiles(messages: Sequence[Message], processor: Processor) -> int:
    """Tiles that the pictures of read messages will be cut into, thumbnails included, and frames of their videos."""
    total = 0
    for part in (part for message in messages for part in message.parts):
        if isinstance(part, VideoPart):
            assert part.frames is not None, "a video was not read"
            total += len(part.frames)
        elif isinstance(part, ImagePart):
            assert isinstance(part.source, Image), "a picture was not read"
            most = part.max_tiles or processor.max_tiles
            total += processor.count_tiles(part.source.width, part.source.height, most)
    return total


def plain_inputs(prompt: PlainPrompt, processor: Processor) -> ModelInputs:
    """A text as it is, without roles and template, control tokens typed in it stay text; or the ids as they are."""
    if isinstance(prompt, str):
        ids: Sequence[int] = processor.tokenizer.encode_segments([Segment(prompt)]).ids
    else:
        ids = prompt
    return ModelInputs(input_ids=torch.tensor(ids, dtype=torch.int64))


def _loaded(part: Part, read: Callable[[Any], Image], watch: Callable[[VideoPart], list[Image]]) -> Part:
    if isinstance(part, ImagePart):
        return ImagePart(source=read(part.source), max_tiles=part.max_tiles)
    return VideoPart(frames=tuple(watch(part))) if isinstance(part, VideoPart) else part
