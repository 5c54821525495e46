"""Papers with text: words, lines to practise on, price tags, signs, notes, menus, receipts, opening hours, tables.

In: a `Page` to write on, `Words`, a language. Out: a `Paper`: what stands where, for `document_questions.py` to ask.
Raises TooTightError where the texts drawn by lot do not fit; the caller then tries others.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from PIL import Image
from tools.nano.document_layout import Row, stacked, write_lines, write_rows, write_title
from tools.nano.document_page import Line, Page, TooTightError
from tools.nano.document_words import Money, Words, clock, date, digits, letters, opening, phone, room, weight

DAYS = {
    "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "zh": ("周一", "周二", "周三", "周四", "周五", "周六", "周日"),
}
CLOSED = {"en": ("closed", "Closed"), "zh": ("休息", "关门")}
HEADS = {
    "en": (("Name", "Room"), ("Item", "Weight"), ("Train", "Time"), ("Code", "Number"), ("Team", "Points")),
    "zh": (("名称", "房间"), ("商品", "重量"), ("车", "时间"), ("名称", "数量"), ("名称", "电话")),
}


@dataclass(frozen=True, kw_only=True)
class Paper:
    """What stands on a page."""

    kind: str
    language: str
    title: Line | None = None
    lines: tuple[Line, ...] = ()
    """All lines from top to bottom where the paper is nothing but lines; a row of a name and a price is none."""
    rows: tuple[Row, ...] = ()
    in_order: bool = True
    """Whether the rows stand in one column, so that "the third" has a meaning."""
    facts: dict[str, str] = field(default_factory=dict)
    """What else can be asked, by the key of its questions: "total", "opens" ..."""


Maker = Callable[[Page, Words, str], Paper]


def make_word(page: Page, words: Words, language: str) -> Paper:
    """One text, from as small as can be read to as large as fits, level or slightly turned."""
    rng, area = page.rng, page.area
    text = words.any_text(rng)
    chinese = has_chinese(text)
    least = page.least_height("zh" if chinese else "en")
    height = round(least * (area.height * 0.6 / least) ** rng.random())
    pen = page.pen([text], area.width * 0.95, height, "zh" if chinese else "en")
    mask = stacked(page, text, pen) if chinese and len(text) > 1 and rng.random() < 0.08 else None
    mask = mask or page.lettering.ink(text, pen.face, pen.height).mask
    if rng.random() < 0.5:
        turned = mask.rotate(rng.uniform(-8, 8), Image.Resampling.BILINEAR, expand=True)
        mask = turned.crop(turned.getbbox())
    if mask.width > area.width or mask.height > area.height:
        raise TooTightError
    left = rng.randint(area.left, area.right - mask.width)
    top = rng.randint(area.top, area.bottom - mask.height)
    line = page.stamp(text, mask, left, top, pen.colour)
    return Paper(kind="word", language=_language_of(text, language), lines=(line,))


def make_note(page: Page, words: Words, language: str) -> Paper:
    """Lines without connection."""
    rng = page.rng
    texts = [_phrase(page, words, language) for _ in range(rng.randint(2, 3 if page.size[0] < 300 else 6))]
    if len(set(texts)) < len(texts):
        raise TooTightError
    lines = write_lines(page, texts, language, rng.choice(("left", "middle")))
    return Paper(kind="note", language=language, lines=tuple(lines))


def make_practice(page: Page, words: Words, language: str) -> Paper:
    """Lines of random characters, or of random letters and digits: every character is seen as often as any other."""
    rng = page.rng
    least = page.least_height(language)
    most = min(8, int(page.area.width / (least * 1.15)))
    if language == "zh":
        texts = [words.random_characters(rng, rng.randint(2, most)) for _ in range(rng.randint(1, 5))]
    else:
        texts = [rng.choice((letters, letters, digits))(rng) for _ in range(rng.randint(1, 5))]
    lines = write_lines(page, list(dict.fromkeys(texts)), language, rng.choice(("left", "middle")))
    return Paper(kind="practice", language=language, lines=tuple(lines))


def make_sign(page: Page, words: Words, language: str) -> Paper:
    """A shop's or a room's sign: its name, and below it hours, a telephone number, a room."""
    rng = page.rng
    title = words.title(rng, language)
    opens, closes = opening(rng)
    number, place = phone(rng), room(rng)
    word = {"en": ("Open", "Tel"), "zh": ("营业时间", "电话")}[language]
    extras = [
        (f"{word[0]} {opens}-{closes}", {"hours": f"{opens}-{closes}", "opens": opens, "closes": closes}),
        (f"{word[1]} {number}", {"phone": number}),
        (place, {}),
        (words.word(rng, language), {}),
    ]
    chosen = rng.sample(extras, rng.randint(1, 2 if page.size[0] < 300 else 3))
    facts = {"shop": title}
    for _, more in chosen:
        facts |= more
    lines = write_lines(page, [title, *(text for text, _ in chosen)], language, "middle", large=title)
    return Paper(kind="sign", language=language, title=lines[0], lines=tuple(lines), facts=facts)


def make_tag(page: Page, words: Words, language: str) -> Paper:
    """A price tag: what it is, what it costs, now and then its weight."""
    rng = page.rng
    name = words.names(rng, language, 1, longest=_longest(page, page.area.width, language))[0]
    price = Money.drawn(rng, language).price(rng).text
    texts, facts = [name, price], {"goods": name, "price": price}
    if rng.random() < 0.35:
        facts["weight"] = weight(rng)
        texts.insert(rng.randint(1, 2), facts["weight"])
    lines = write_lines(page, texts, language, "middle", large=price)
    return Paper(kind="tag", language=language, lines=tuple(lines), facts=facts)


def make_menu(page: Page, words: Words, language: str) -> Paper:
    """A title or none, and dishes with prices that all differ."""
    rng = page.rng
    area, title = page.area, None
    if rng.random() < 0.7:
        title, area = write_title(page, words.title(rng, language), area, language)
    columns = 2 if page.size[0] >= 600 and rng.random() < 0.25 else 1
    count = rng.randint(2, 3 if page.size[1] < 300 else 8 if page.size[1] < 600 else 12)
    longest = _longest(page, (area.width - 30) // columns, language, beside=8 if language == "en" else 5)
    names = words.names(rng, language, count, longest)
    prices = Money.drawn(rng, language).different(rng, count)
    rows = write_rows(page, area, names, [price.text for price in prices], language, columns=columns)
    rows = [Row(name=row.name, value=row.value, amount=price.value) for row, price in zip(rows, prices, strict=True)]
    return Paper(kind="menu", language=language, title=title, rows=tuple(rows), in_order=columns == 1)


def make_receipt(page: Page, words: Words, language: str) -> Paper:
    """A shop, a day, what was bought, and the sum of it."""
    rng = page.rng
    day = date(rng) if rng.random() < 0.5 else ""
    title, area = write_title(page, words.title(rng, language), page.area, language)
    count = rng.randint(2, 6)
    names = words.names(rng, language, count, _longest(page, area.width, language, beside=8))
    money = Money.drawn(rng, language)
    prices = money.different(rng, count)
    total = money.printed(sum(price.value for price in prices)).text
    sums = {"en": ("Total", "TOTAL", "Sum"), "zh": ("合计", "总计", "总共")}
    names += [rng.choice(sums[language])]
    values = [*(price.text for price in prices), total]
    if day:
        names, values = [{"en": "Date", "zh": "日期"}[language], *names], [day, *values]
    rows = write_rows(page, area, names, values, language, rule_before=len(names) - 1)
    bought = rows[1:-1] if day else rows[:-1]
    kept = [Row(name=row.name, value=row.value, amount=price.value) for row, price in zip(bought, prices, strict=True)]
    facts = {"total": total, "shop": title.text} | ({"date": day} if day else {})
    return Paper(kind="receipt", language=language, title=title, rows=tuple(kept), in_order=not day, facts=facts)


def make_hours(page: Page, words: Words, language: str) -> Paper:
    """Days with opening hours; one may be closed."""
    rng = page.rng
    area, title = page.area, None
    if rng.random() < 0.4:
        title, area = write_title(page, words.title(rng, language), area, language)
    first = rng.randint(0, 4)
    days = list(DAYS[language][first : first + rng.randint(3, 7)])
    values = ["-".join(opening(rng)) for _ in days]
    if rng.random() < 0.5:
        values[rng.randrange(len(days))] = rng.choice(CLOSED[language])
    rows = write_rows(page, area, days, values, language)
    return Paper(kind="hours", language=language, title=title, rows=tuple(rows))


def make_table(page: Page, words: Words, language: str) -> Paper:
    """Two columns with heads; all names and all values differ."""
    rng = page.rng
    count = rng.randint(3, 5 if page.size[1] < 600 else 9)
    heads = rng.choice(HEADS[language])
    values = list(dict.fromkeys(_value(heads[1], rng) for _ in range(count)))
    longest = _longest(page, page.area.width, language, beside=8)
    if heads[0] in ("Train", "Code", "车"):
        names = list(dict.fromkeys(letters(rng).upper() for _ in values))
    else:
        names = words.names(rng, language, len(values), longest)
    if len(names) < len(values):
        raise TooTightError
    rows = write_rows(page, page.area, [heads[0], *names], [heads[1], *values], language, rule_before=1)
    facts = {"head": heads[1], "names": heads[0]}
    return Paper(kind="table", language=language, rows=tuple(rows[1:]), facts=facts)


def has_chinese(text: str) -> bool:
    return any("\u4e00" <= sign <= "\u9fff" for sign in text)


def _value(head: str, rng: random.Random) -> str:
    if head in ("Room", "房间"):
        return str(rng.randint(101, 2099))
    if head in ("Weight", "重量"):
        return weight(rng)
    if head in ("Time", "时间"):
        return clock(rng)
    if head == "电话":
        return f"{rng.randint(200, 999)}-{rng.randint(0, 9999):04d}"
    return digits(rng)


def _phrase(page: Page, words: Words, language: str) -> str:
    """A line of a note."""
    rng = page.rng
    if rng.random() < 0.3:
        return words.any_text(rng)
    if language == "zh":
        return "".join(words.word(rng, "zh") for _ in range(rng.randint(1, 2)))
    return " ".join(words.word(rng, "en") for _ in range(rng.randint(1, 3)))


def _language_of(text: str, language: str) -> str:
    """Numbers alone are asked about in either."""
    if has_chinese(text):
        return "zh"
    return "en" if any(sign.isalpha() for sign in text) else language


def _longest(page: Page, width: float, language: str, beside: int = 0) -> int:
    """How many characters of a name fit at the least height, `beside` so many others.

    A Latin character is on average 0.8 as wide as a capital is high.
    """
    longest = int(width / (page.least_height(language) * (1.1 if language == "zh" else 0.8))) - beside
    if longest < (2 if language == "zh" else 5):
        raise TooTightError
    return longest
