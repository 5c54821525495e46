"""Validation questions: a sample without its last answer, ready for the model, and the answer that was expected.

In: examples and a processor. Out: `Question`s. Knows no model.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import PIL.Image

from ivl.data.example import Example
from ivl.processing.images import load_image
from ivl.processing.processor import Processor
from ivl.types import ImagePart, Message, ModelInputs, TextPart


@dataclass(frozen=True, kw_only=True, eq=False)
class Question:
    """What the model is asked in a validation."""

    sample_id: str
    text: str
    """The last user message as a person reads it."""
    expected: str
    inputs: ModelInputs
    picture: PIL.Image.Image | None
    """The first picture of the sample."""
    stop_token_ids: frozenset[int]
    decode: Callable[[Sequence[int]], str]
    """Token ids to text, without end tokens."""


def make_question(example: Example, processor: Processor, max_length: int) -> Question:
    """The question of one example as a corpus gives it, its tiles decided; its last message is the answer.

    Raises ImageError and ContextLengthError.
    """
    *asked, answer = example.messages
    inputs = processor(tuple(asked), max_length=max_length)
    stops = processor.serving_stop_token_ids
    return Question(
        sample_id=example.id or example.where,
        text=_text(asked[-1]),
        expected=_text(answer),
        inputs=inputs,
        picture=_first_picture(asked, processor.as_viewed),
        stop_token_ids=stops,
        decode=lambda ids: processor.tokenizer.decode([each for each in ids if each not in stops]).strip(),
    )


def _text(message: Message) -> str:
    return "".join(part.text for part in message.parts if isinstance(part, TextPart)).strip()


def _first_picture(messages: Sequence[Message], as_viewed: bool) -> PIL.Image.Image | None:
    parts = (part for message in messages for part in message.parts)
    image = next((part for part in parts if isinstance(part, ImagePart)), None)
    return None if image is None else load_image(image.source, as_viewed=as_viewed)
