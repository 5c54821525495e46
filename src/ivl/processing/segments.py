"""A prompt in pieces that know what they are: control tokens, text of people, places of images.

In: nothing. Out: `Segment` and the two things that are done with a list of them without a tokenizer: put the
image tokens in, and read it as one string. `template.py` makes segments, `tokenizer.py` turns them into ids
and labels. Knows no template and no vocabulary.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

IMAGE_START = "<img>"
IMAGE_TOKEN = "<IMG_CONTEXT>"  # noqa: S105 (a token of the vocabulary, no secret)
IMAGE_END = "</img>"
IMAGE_MARK = "<image>"


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a prompt."""

    text: str
    kind: Literal["control", "text", "image"] = "text"
    """control: one token of the vocabulary; text: never read as a control token; image: to be filled."""
    trained: bool = False
    """Whether its tokens are labels."""
    count: int = 1
    """How often the control token stands in a row."""


IMAGE = Segment(IMAGE_MARK, "image")


def text_of(segments: Iterable[Segment]) -> str:
    """The prompt as one string."""
    return "".join(segment.text * segment.count for segment in segments)


def fill_images(segments: Iterable[Segment], token_counts: Sequence[int]) -> list[Segment]:
    """The prompt with each image's place taken by `<img>`, its image tokens and `</img>`.

    token_counts: image tokens of each image, in the order of the text.
    """
    filled: list[Segment] = []
    counts = iter(token_counts)
    for segment in segments:
        if segment.kind == "image":
            count = next(counts, 0)
            assert count > 0, f"more places for images than the {len(token_counts)} images given"
            filled.append(Segment(IMAGE_START, "control"))
            filled.append(Segment(IMAGE_TOKEN, "control", count=count))
            filled.append(Segment(IMAGE_END, "control"))
        else:
            filled.append(segment)
    assert next(counts, None) is None, f"fewer places for images than the {len(token_counts)} images given"
    return filled
