"""Pictures with questions and answers for a card: out of an evaluation's page, or chosen by a person.

In: the folder of a report (report.html), or one with pictures and a questions.json. Out: `Sample`s, their pictures
drawn anew as small JPEGs, so that nothing but pixels goes along (no place, no camera, no name).

The page's items are taken from all its verdicts in turn, so that a card does not show successes only. Sets whose terms
forbid passing their pictures on are left out.
"""

import base64
import binascii
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

from PIL import Image

from ivl.errors import ImageError, InputError, shown
from ivl.export.card_private import public
from ivl.model.folder_io import check_folder, locate, open_file

PAGE, QUESTIONS = "report.html", "questions.json"
MOST_SAMPLES = 6
MOST_BYTES = 100_000
"""Of a picture beside the card."""
VERDICTS = ("gained", "right", "lost", "wrong", "scored")
_LONGEST_SIDE = 640
_MOST_PIXELS = 40_000_000
_MOST_PAGE_BYTES = 64 * 2**20
_MOST_PICTURE_BYTES = 32 * 2**20
_NO_PASSING_ON = re.compile(r"\bND\b|NoDeriv|no derivatives|pass on|research only", re.IGNORECASE)
_URI = re.compile(r"data:image/(?:jpeg|png|webp);base64,")


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A picture and what was said to it."""

    picture: bytes
    """JPEG, at most MOST_BYTES."""
    question: str
    expected: str
    answers: tuple[tuple[str, str], ...]
    """(who, what)."""
    set_title: str = ""
    terms: str = ""
    """Of the set, as its evaluation tells them."""
    verdict: str = ""


def samples_of_report(folder: Path, most: int = MOST_SAMPLES) -> tuple[list[Sample], list[str]]:
    """At most so many samples, and the titles of sets whose terms keep their pictures out.

    Raises InputError for a page that cannot be read. A report without a page gives none.
    """
    place = check_folder(folder, InputError)
    if locate(place, PAGE, InputError) is None:
        return [], []
    with open_file(place, PAGE, InputError) as file:
        data = file.read(_MOST_PAGE_BYTES + 1)
    if len(data) > _MOST_PAGE_BYTES:
        raise InputError(f"{place / PAGE} has more than the {_MOST_PAGE_BYTES:,} bytes that are read")
    reader = _Page()
    reader.feed(data.decode("utf-8", "replace"))
    withheld = sorted({public(each.set_title, 120) for each in reader.cards if _NO_PASSING_ON.search(each.terms)})
    usable = [each for each in reader.cards if len(each.pictures) == 1 and not _NO_PASSING_ON.search(each.terms)]
    found: list[Sample] = []
    for card in _in_turn(usable):
        if len(found) == most:
            break
        if picture := _from_uri(card.pictures[0]):
            found.append(card.sample(picture))
    return found, withheld


def samples_of_folder(folder: Path, most: int = MOST_SAMPLES) -> list[Sample]:
    """What a person chose: questions.json is a list of {picture, question, answer}, pictures lie beside it.

    Raises InputError or ImageError, with the row, for what is missing or is no picture.
    """
    import json

    place, where = check_folder(folder, InputError), folder / QUESTIONS
    with open_file(place, QUESTIONS, InputError) as file:
        data = file.read(2**20 + 1)
    try:
        rows = json.loads(data) if len(data) <= 2**20 else None
    except (ValueError, RecursionError):
        rows = None
    if not isinstance(rows, list):
        raise InputError(f"{where} must be a JSON list of {{picture, question, answer}}, of at most 1 MiB")
    found = []
    for number, row in enumerate(rows[:most]):
        fields = [row.get(name) if isinstance(row, dict) else None for name in ("picture", "question", "answer")]
        if not all(isinstance(each, str) and each for each in fields):
            raise InputError(f"{where}, entry {number}: picture, question and answer are needed, as texts")
        picture, question, answer = (str(each) for each in fields)
        with open_file(place, picture, ImageError) as file:
            drawn = small_jpeg(file.read(_MOST_PICTURE_BYTES + 1))
        if drawn is None:
            raise ImageError(f"{where}, entry {number}: {shown(picture)} is no JPEG, PNG or WebP of a usual size")
        found.append(Sample(picture=drawn, question=question, expected="", answers=(("", answer),)))
    return found


def small_jpeg(data: bytes) -> bytes | None:
    """A picture drawn anew, upright and small; None for what is no picture, or too large a one."""
    if len(data) > _MOST_PICTURE_BYTES:
        return None
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "WEBP")) as opened:
            if opened.width * opened.height > _MOST_PIXELS:
                return None
            from PIL import ImageOps

            upright = ImageOps.exif_transpose(opened).convert("RGBA")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    white = Image.new("RGBA", upright.size, "white")
    image = Image.alpha_composite(white, upright).convert("RGB")
    for side in (_LONGEST_SIDE, 448, 320, 200):
        image.thumbnail((side, side))
        drawn = io.BytesIO()
        image.save(drawn, "JPEG", quality=85, optimize=True)
        if drawn.tell() <= MOST_BYTES:
            return drawn.getvalue()
    raise AssertionError("200 x 200 pixels fit into 100 KB")


@dataclass
class _Card:
    """An item of the page while it is read."""

    set_title: str
    terms: str
    pictures: list[str] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    verdict: str = "scored"
    names: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    choices: list[str] = field(default_factory=list)
    correct: list[str] = field(default_factory=list)

    def sample(self, picture: bytes) -> Sample:
        question = self.texts.get("question", "")
        if self.choices:
            question = f"{question} ({'; '.join(self.choices)})"
        return Sample(
            picture=picture,
            question=question,
            expected="; ".join(self.correct) or self.texts.get("expected", "").removeprefix("expected").strip(),
            answers=tuple(zip(self.names, self.answers, strict=False)),
            set_title=self.set_title,
            terms=public(self.terms),
            verdict=self.verdict,
        )


class _Page(HTMLParser):
    """Reads the items of report.html. Nothing of it is kept as markup."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.cards: list[_Card] = []
        self._title = self._terms = ""
        self._card: _Card | None = None
        self._open: list[tuple[str, str]] = []
        """Tags that are open with the class of each, inside of what is read."""
        self._text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        look = given.get("class", "")
        if tag == "section":
            self._title = self._terms = ""
        elif tag == "article":
            self._card = _Card(set_title=self._title, terms=self._terms)
        elif tag == "img" and self._card is not None:
            self._card.pictures.append(given.get("src", ""))
        elif tag in ("h2", "p", "dt", "dd", "li", "small", "span", "b"):
            self._begin(tag, look)

    def _begin(self, tag: str, look: str) -> None:
        if tag in ("h2", "p", "dt", "dd", "li"):
            self._open, self._text = [(tag, look)], []
        elif self._open:
            self._open.append((tag, look))
            if look.startswith("badge") and self._card is not None and self._open[0] == ("p", "id"):
                self._card.verdict = look.rpartition(" ")[2]

    def handle_data(self, data: str) -> None:
        # Words beside the text itself: the set's short name, verdicts, how an answer was read.
        if self._open and not any(tag in ("small", "span") for tag, _ in self._open[1:]):
            self._text.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "article" and self._card is not None:
            self.cards.append(self._card)
            self._card = None
        elif self._open and tag == self._open[-1][0]:
            name, look = self._open.pop()
            if not self._open:
                self._finish(name, look, " ".join("".join(self._text).split()))

    def _finish(self, tag: str, look: str, text: str) -> None:
        card = self._card
        if card is None:
            if tag == "h2":
                self._title = text
            elif tag == "p" and look == "warning":
                self._terms = text
        elif tag == "p" and look in ("question", "expected"):
            card.texts[look] = text
        elif tag == "dt":
            card.names.append(text)
        elif tag == "dd":
            card.answers.append(text)
        elif tag == "li":
            card.choices.append(text)
            if look == "correct":
                card.correct.append(text)


def _in_turn(cards: Iterable[_Card]) -> list[_Card]:
    """One of each verdict, then again; of each verdict the sets in turn."""
    groups: dict[str, dict[str, list[_Card]]] = {verdict: {} for verdict in VERDICTS}
    for card in cards:
        groups.get(card.verdict, groups["scored"]).setdefault(card.set_title, []).append(card)
    queues = [_merged(list(by_set.values())) for by_set in groups.values()]
    return _merged(queues)


def _merged(queues: list[list[_Card]]) -> list[_Card]:
    longest = max(map(len, queues), default=0)
    return [queue[place] for place in range(longest) for queue in queues if place < len(queue)]


def _from_uri(source: str) -> bytes | None:
    found = _URI.match(source)
    if found is None:
        return None
    try:
        return small_jpeg(base64.b64decode(source[found.end() :], validate=True))
    except (binascii.Error, ValueError):
        return None
