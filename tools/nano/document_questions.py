"""What is asked about a paper with text, and the one right answer, in English and Chinese.

In: a `Paper`, what is known to stand on it. Out: `Turn`s. An answer is exactly what is printed, a name alone, a count
in digits, a yes or no, or a refusal; boxes are in thousandths of the picture. Knows no pixels.
"""

import random
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tools.nano.document_page import Line
from tools.nano.document_papers import CLOSED, DAYS, Paper, has_chinese
from tools.nano.document_words import Words

WORDING: dict[str, dict[str, list[str]]] = tomllib.loads(
    Path(__file__).with_name("document_wording.toml").read_text(encoding="utf-8")
)
YES = {"en": ("Yes", "No"), "zh": ("有", "没有")}
ABSENT = {
    "menu": {"en": "It is not on the menu.", "zh": "菜单上没有。"},
    "receipt": {"en": "It is not on the receipt.", "zh": "小票上没有。"},
    "table": {"en": "It is not in the table.", "zh": "表里没有。"},
    "hours": {"en": "It is not listed.", "zh": "上面没有写。"},
    "": {"en": "There is no such text in the picture.", "zh": "图中没有这样的文字。"},
}
ABSENT_SHARE = 0.2
"""Of the questions about a row or a text that ask for one that is not there."""
LONGEST_READING = 60
"""Characters of a paper that is still read out whole."""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """A question with its answer."""

    question: str
    answer: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Asking:
    """A paper that is being asked about."""

    paper: Paper
    size: tuple[int, int]
    """Of the picture in pixels."""
    words: Words
    rng: random.Random
    language: str
    """Of the questions; the paper's own may be another."""

    def turn(self, kind: str, answer: str, **blanks: str) -> Turn:
        """The question of that kind in one of its wordings."""
        return Turn(question=self.rng.choice(WORDING[kind][self.language]).format(**blanks), answer=answer)

    def box(self, line: Line) -> str:
        """The line as InternVL grounds it."""
        width, height = self.size
        left, top, right, bottom = line.box
        edges = (left / width, top / height, right / width, bottom / height)
        numbers = ", ".join(str(round(1000 * edge)) for edge in edges)
        return f"<ref>{line.text}</ref><box>[[{numbers}]]</box>"

    def refusal(self) -> str:
        return ABSENT.get(self.paper.kind, ABSENT[""])[self.language]

    def absent_row(self) -> str:
        """A name that no row has."""
        names = [row.name.text for row in self.paper.rows]
        if self.paper.kind == "hours":
            others = [day for day in DAYS[self.paper.language] if day not in names]
            return self.rng.choice(others) if others else ""
        return self.words.absent(self.rng, names, self.paper.language)

    def absent_text(self) -> str:
        """A text that no line holds."""
        texts = [line.text for line in self.paper.lines]
        text = self.rng.choice(texts)
        if text.isascii() and any(sign.isdigit() for sign in text) and self.rng.random() < 0.7:
            place = self.rng.choice([place for place, sign in enumerate(text) if sign.isdigit()])
            other = self.rng.choice([digit for digit in "0123456789" if digit != text[place]])
            changed = text[:place] + other + text[place + 1 :]
            return "" if any(changed in each for each in texts) else changed
        return self.words.absent(self.rng, texts, "zh" if has_chinese(text) else "en")


Asker = Callable[[Asking], Turn | None]


def ask(paper: Paper, size: tuple[int, int], words: Words, rng: random.Random, language: str, count: int) -> list[Turn]:
    """At most `count` questions, at least one; none is asked again in other words."""
    asking = Asking(paper=paper, size=size, words=words, rng=rng, language=language)
    askers = ASKERS[paper.kind]
    turns: dict[tuple[Asker, str], Turn] = {}
    for number in range(3 * count):
        asker = rng.choices(list(askers), list(askers.values()))[0]
        if number == 0 and paper.kind == "practice":
            asker = _read
        turn = asker(asking)
        if turn:
            turns.setdefault((asker, turn.answer), turn)
        if len(turns) == count:
            break
    return list(turns.values()) or [_ground(asking)]


def _read(asking: Asking) -> Turn | None:
    texts = [line.text for line in asking.paper.lines]
    if sum(map(len, texts)) > LONGEST_READING:
        return None
    is_number = len(texts) == 1 and texts[0].isdigit()
    return asking.turn("read_number" if is_number and asking.rng.random() < 0.5 else "read", "\n".join(texts))


def _line(asking: Asking) -> Turn | None:
    lines = asking.paper.lines
    if asking.rng.random() < 0.2:
        return asking.turn("last_line", lines[-1].text)
    place = asking.rng.randrange(len(lines))
    return asking.turn("line", lines[place].text, k=str(place + 1))


def _count_lines(asking: Asking) -> Turn | None:
    return asking.turn("count_lines", str(len(asking.paper.lines)))


def _which_line(asking: Asking) -> Turn | None:
    place = asking.rng.randrange(len(asking.paper.lines))
    answer = f"Line {place + 1}" if asking.language == "en" else f"第{place + 1}行"
    return asking.turn("which_line", answer, n=asking.paper.lines[place].text)


def _has_text(asking: Asking) -> Turn | None:
    yes = asking.rng.random() < 0.5
    text = asking.rng.choice(asking.paper.lines).text if yes else asking.absent_text()
    return asking.turn("has_text", YES[asking.language][not yes], n=text) if text else None


def _signs(asking: Asking) -> Turn | None:
    """Of one word alone: how many signs it has, the first, the last."""
    text = asking.paper.lines[0].text
    if text.isdigit():
        unit, many = "digit", "digits"
    elif text.isascii() and text.isalpha():
        unit, many = "letter", "letters"
    elif len(text) > 1 and all(map(has_chinese, text)):
        unit, many = "character", "characters"
    else:
        return None
    kind = asking.rng.choice(("count", "first", "last"))
    if kind == "count":
        return asking.turn(f"count_{many}", str(len(text)))
    return asking.turn(f"{kind}_{unit}", text[0] if kind == "first" else text[-1])


def _ground(asking: Asking) -> Turn:
    """The box of a line or of a row's name; now and then of one that is not there."""
    absent = asking.absent_row if asking.paper.rows else asking.absent_text
    text = absent() if asking.rng.random() < ABSENT_SHARE / 2 else ""
    if text:
        return asking.turn("ground", asking.refusal(), n=text)
    lines = [row.name for row in asking.paper.rows] or list(asking.paper.lines)
    line = asking.rng.choice(lines)
    return asking.turn("ground", asking.box(line), n=line.text)


def _title(asking: Asking) -> Turn | None:
    return asking.turn("title", asking.paper.title.text) if asking.paper.title else None


def _fact(asking: Asking) -> Turn | None:
    """A sign's hours, a receipt's total, a tag's price ..."""
    kinds = [kind for kind in asking.paper.facts if kind in WORDING]
    if not kinds:
        return None
    kind = asking.rng.choice(kinds)
    return asking.turn(kind, asking.paper.facts[kind])


def _item_price(asking: Asking) -> Turn | None:
    if asking.rng.random() < ABSENT_SHARE:
        return asking.turn("item_price", asking.refusal(), n=asking.absent_row())
    row = asking.rng.choice(asking.paper.rows)
    return asking.turn("item_price", row.value.text, n=row.name.text)


def _compare(asking: Asking) -> Turn | None:
    one, other = asking.rng.sample(asking.paper.rows, 2)
    assert one.amount is not None, "rows of a menu and a receipt have amounts"
    assert other.amount is not None, "rows of a menu and a receipt have amounts"
    low, high = (one, other) if one.amount < other.amount else (other, one)
    kind, answer = asking.rng.choice((("dearer", high), ("cheaper", low)))
    return asking.turn(kind, answer.name.text, n=one.name.text, m=other.name.text)


def _extreme(asking: Asking) -> Turn | None:
    rows = sorted(asking.paper.rows, key=lambda row: row.amount or 0.0)
    kind, row = asking.rng.choice((("cheapest", rows[0]), ("dearest", rows[-1])))
    return asking.turn(kind, row.name.text)


def _by_price(asking: Asking) -> Turn | None:
    row = asking.rng.choice(asking.paper.rows)
    return asking.turn("by_price", row.name.text, v=row.value.text)


def _count_rows(asking: Asking) -> Turn | None:
    return asking.turn(f"{asking.paper.kind}_count", str(len(asking.paper.rows)))


def _has_row(asking: Asking) -> Turn | None:
    yes = asking.rng.random() < 0.5
    name = asking.rng.choice(asking.paper.rows).name.text if yes else asking.absent_row()
    return asking.turn(f"{asking.paper.kind}_has", YES[asking.language][not yes], n=name) if name else None


def _row(asking: Asking) -> Turn | None:
    if not asking.paper.in_order:
        return None
    place = asking.rng.randrange(len(asking.paper.rows))
    return asking.turn("row", asking.paper.rows[place].name.text, k=str(place + 1))


def _names(asking: Asking) -> Turn | None:
    names = [row.name.text for row in asking.paper.rows]
    if sum(map(len, names)) > LONGEST_READING or not asking.paper.in_order:
        return None
    return asking.turn("names", ("、" if asking.paper.language == "zh" else ", ").join(names))


def _day(asking: Asking) -> Turn | None:
    if asking.rng.random() < ABSENT_SHARE:
        day = asking.absent_row()
        return asking.turn("day_hours", asking.refusal(), n=day) if day else None
    row = asking.rng.choice(asking.paper.rows)
    if row.value.text in CLOSED[asking.paper.language]:
        kind = asking.rng.choice(("day_hours", "closed_day"))
        return asking.turn(kind, row.value.text if kind == "day_hours" else row.name.text, n=row.name.text)
    opens, closes = row.value.text.split("-")
    answers = {"day_hours": row.value.text, "day_opens": opens, "day_closes": closes}
    kind = asking.rng.choice(list(answers))
    return asking.turn(kind, answers[kind], n=row.name.text)


def _value_of(asking: Asking) -> Turn | None:
    if asking.rng.random() < ABSENT_SHARE:
        name, answer = asking.absent_row(), asking.refusal()
    else:
        row = asking.rng.choice(asking.paper.rows)
        name, answer = row.name.text, row.value.text
    return asking.turn("value_of", answer, n=name, h=asking.paper.facts["head"])


def _name_of(asking: Asking) -> Turn | None:
    row = asking.rng.choice(asking.paper.rows)
    return asking.turn("name_of", row.name.text, v=row.value.text)


_PRICED: dict[Asker, float] = {
    _item_price: 6.0, _compare: 2.0, _extreme: 1.5, _by_price: 1.5, _count_rows: 1.0, _has_row: 2.0, _row: 1.5,
    _names: 0.7, _ground: 1.5, _title: 1.0,
}  # fmt: skip
ASKERS: dict[str, dict[Asker, float]] = {
    "word": {_read: 6.0, _signs: 1.0, _has_text: 1.0, _ground: 1.0},
    "note": {_read: 2.0, _line: 4.0, _count_lines: 0.7, _which_line: 1.0, _has_text: 1.5, _ground: 1.5},
    "practice": {_read: 1.0, _line: 3.0, _count_lines: 0.3, _which_line: 0.7, _ground: 1.0},
    "sign": {_read: 1.5, _line: 1.0, _fact: 4.0, _count_lines: 0.4, _has_text: 1.0, _ground: 1.0},
    "tag": {_fact: 5.0, _read: 1.0, _has_text: 0.5, _ground: 1.0},
    "menu": _PRICED,
    "receipt": {**_PRICED, _fact: 4.0},
    "hours": {_day: 5.0, _count_rows: 0.5, _has_row: 1.0, _ground: 1.0, _title: 0.5},
    "table": {_value_of: 5.0, _name_of: 2.0, _count_rows: 0.6, _has_row: 1.2, _row: 1.0, _ground: 1.0, _names: 0.5},
}
"""Questions of each kind of paper, and how often each is asked beside the others."""
