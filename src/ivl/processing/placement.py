"""Where a message's pictures stand in its text.

In: one checked message. Out: its text and pictures in the order in which the model reads them. Counts places
and pictures and raises PromptError before any picture is opened. Knows no template and no tile.
"""

import re
from collections.abc import Iterator

from ivl.errors import PromptError
from ivl.processing.segments import IMAGE, IMAGE_MARK, Segment
from ivl.types import ImagePart, Message, TextPart, VideoPart

VIDEO_MARK = "<video>"
_MARK_FORMS: dict[type, re.Pattern[str]] = {
    # LMDeploy writes its own name for the place of an image.
    ImagePart: re.compile(f"{IMAGE_MARK}|<IMAGE_TOKEN>"),
    # A line break after it is the one that the last frame's line brings along.
    VideoPart: re.compile(f"{VIDEO_MARK}\n?"),
}

Piece = str | ImagePart | VideoPart


def arrange(message: Message, position: int) -> tuple[Piece, ...]:
    """The pieces of a message in reading order.

    A message whose text holds `<image>` has its images there, from left to right, and needs as many as it has
    images; otherwise each image stands where it is among the parts, on a line of its own. The same holds for
    `<video>` and videos, except that without any video `<video>` is ordinary text. Answers and system
    messages are all text.
    position: the message's place in the conversation, for errors. Raises PromptError.
    """
    if message.role != "user":
        return tuple(part.text for part in message.parts if isinstance(part, TextPart))
    images = [part for part in message.parts if isinstance(part, ImagePart)]
    videos = [part for part in message.parts if isinstance(part, VideoPart)]
    image_marks = _count(message, ImagePart)
    video_marks = _count(message, VideoPart) if videos else 0
    if image_marks and image_marks != len(images):
        raise _mismatch(position, image_marks, IMAGE_MARK, len(images), "image")
    if video_marks and video_marks != len(videos):
        raise _mismatch(position, video_marks, VIDEO_MARK, len(videos), "video")
    marked: dict[type, Iterator[ImagePart | VideoPart]] = {}
    if image_marks:
        marked[ImagePart] = iter(images)
    if video_marks:
        marked[VideoPart] = iter(videos)
    pieces: list[Piece] = []
    for part in message.parts:
        if isinstance(part, TextPart):
            pieces.extend(_split(part.text, marked))
        elif type(part) not in marked:
            pieces.append(part)
            if isinstance(part, ImagePart):
                pieces.append("\n")
    return tuple(piece for piece in pieces if piece != "")


def place_frames(num_frames: int) -> list[Segment]:
    """The places of a video's frames, each on a numbered line, as the official examples write them."""
    pieces: list[Segment] = []
    for number in range(1, num_frames + 1):
        pieces += [Segment(f"Frame{number}: "), IMAGE, Segment("\n")]
    return pieces


def _count(message: Message, kind: type) -> int:
    texts = (part.text for part in message.parts if isinstance(part, TextPart))
    return sum(1 for text in texts for _ in _MARK_FORMS[kind].finditer(text))


def _split(text: str, marked: dict[type, Iterator[ImagePart | VideoPart]]) -> Iterator[Piece]:
    """The text, with each mark replaced by the next picture of its kind."""
    if not marked:
        yield text
        return
    kinds = list(marked)
    pattern = re.compile("|".join(f"({_MARK_FORMS[kind].pattern})" for kind in kinds))
    done = 0
    for match in pattern.finditer(text):
        yield text[done : match.start()]
        assert match.lastindex is not None, "a mark matched outside its group"
        yield next(marked[kinds[match.lastindex - 1]])
        done = match.end()
    yield text[done:]


def _mismatch(position: int, marks: int, mark: str, pictures: int, kind: str) -> PromptError:
    return PromptError(
        f"messages[{position}] has {marks} {mark} in its text and {pictures} {kind}s: "
        f"write {mark} once for each {kind}, or not at all to have each where it stands among the parts"
    )
