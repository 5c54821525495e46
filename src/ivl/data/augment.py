"""Pictures made a little worse on purpose, so that a model does not lean on a camera's file quality.

In: an example whose set asks for it. Out: the same example, its pictures gone through JPEG at a random quality. What is
drawn depends on the numbers given and on nothing else. Videos stay as they are. Knows no tiles and no tokens.
Source: the official trainer's `data_augment` (qualities 75 to 100); it re-encodes each tile, this whole pictures.
"""

import io
from dataclasses import replace

import PIL.Image

from ivl.data.example import Example
from ivl.data.order import bits
from ivl.processing.images import load_image
from ivl.types import ImagePart, Part

LOWEST, HIGHEST = 75, 100
"""Qualities, both included."""


def augment(example: Example, *, as_viewed: bool, key: tuple[int, ...]) -> Example:
    """The example with its pictures opened and re-encoded, if it asks for `data_augment`; else the example itself.

    key: seed, epoch and number of the sample. Raises ImageError.
    """
    if not example.data_augment:
        return example
    number = 0
    messages = []
    for message in example.messages:
        parts: list[Part] = []
        for part in message.parts:
            if isinstance(part, ImagePart):
                image = load_image(part.source, as_viewed=as_viewed)
                part = replace(part, source=reencode(image, quality(*key, number)))
                number += 1
            parts.append(part)
        messages.append(replace(message, parts=tuple(parts)))
    return replace(example, messages=tuple(messages))


def quality(*key: int) -> int:
    """The JPEG quality that belongs to these numbers."""
    return LOWEST + int(bits(1, "jpeg", *key)[0] % (HIGHEST - LOWEST + 1))


def reencode(image: PIL.Image.Image, quality: int) -> PIL.Image.Image:
    """The RGB picture after JPEG compression."""
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=quality)
    result = PIL.Image.open(io.BytesIO(buffer.getvalue()))
    result.load()
    return result
