"""Places that an answer points at, in InternVL's form, read for drawing.

In: an answer's text, possibly unfinished. Out: the text as a person reads it, and the boxes. Knows no picture.
"""

import re
from dataclasses import dataclass

_CORNERS = r"\[\s*\d{1,4}\s*(?:[,，]\s*\d{1,4}\s*){3}\]"
_LIST = rf"\[\s*{_CORNERS}(?:\s*[,，]\s*{_CORNERS})*\s*\]"
# The marks are control tokens, which some settings leave out: then the bare list follows its name.
_MARK = re.compile(
    rf"<ref>(?P<ref>[^<]*)</ref>\s*<box>(?P<boxes>[^<]*)</box>|<box>(?P<alone>[^<]*)</box>"
    rf"|(?P<name>[^\s\[\]<>,.;:!?，。；：！？][^\[\]<>,.;:!?，。；：！？\n]{{0,59}})?(?P<bare>{_LIST})"
)
_FOUR = re.compile(r"\[\s*(\d{1,4})\s*[,，]\s*(\d{1,4})\s*[,，]\s*(\d{1,4})\s*[,，]\s*(\d{1,4})\s*\]")
# What a finished mark begins with, at the end of an answer that is still being written.
_BEGUN = re.compile(r"(?:</ref>\s*)?<box>[^<]*(?:</?(?:b|bo|box)?)?$|</?(?:r|re|ref|b|bo|box)?$")
_OPEN, _CLOSED = re.compile(r"\[\s*\["), re.compile(r"\]\s*\]")
_TAGS = re.compile(r"</?(?:ref|box)>")
_MOST = 100


@dataclass(frozen=True, kw_only=True)
class Place:
    """One box with its name; corners from 0 to 1000 of the picture's width and height."""

    name: str
    left: int
    top: int
    right: int
    bottom: int


def read_places(text: str) -> tuple[str, tuple[Place, ...]]:
    """An answer without its marks, names kept, and at most 100 boxes; what is no box stays out of the drawing."""
    places: list[Place] = []

    def taken(match: re.Match[str]) -> str:
        name = match["ref"] or match["name"] or ""
        for found in _FOUR.findall(match["boxes"] or match["alone"] or match["bare"] or ""):
            left, top, right, bottom = (int(number) for number in found)
            if left < right <= 1000 and top < bottom <= 1000 and len(places) < _MOST:
                places.append(Place(name=name.strip(), left=left, top=top, right=right, bottom=bottom))
        return name

    plain = _BEGUN.sub("", _without_begun_list(_MARK.sub(taken, text)))
    return _TAGS.sub("", plain), tuple(places)


def _without_begun_list(text: str) -> str:
    """The text without a list of boxes that is still open at its end. Looks at each character a few times at most."""
    start = len(text)
    while start and (text[start - 1].isdecimal() or text[start - 1].isspace() or text[start - 1] in ",，[]"):
        start -= 1
    start = max([start, *(found.start() for found in _CLOSED.finditer(text, start))])
    begun = _OPEN.search(text, start)
    return text[: begun.start()] if begun else text
