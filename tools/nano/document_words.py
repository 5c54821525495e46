"""Random texts as they stand on menus, labels, receipts and signs.

In: a `random.Random`, `characters.txt`, `document_words.txt`, the dishes' names of `tools/foods/facts.json`. Out:
texts, and prices with their values. A dish's name is here a word to be read; nothing ties it to what the dish looks
like. Part of all texts are random letters, digits and characters, so that reading cannot be replaced by guessing.
Knows no pixels.
"""

import random
import re
import string
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tools.foods.facts import load_foods

ASCII = string.printable[:95]
MARKS = "，。！？：；、（）《》“”‘’…·￥¥£€×—–℃°" + "éèêëçñüöäßàáâíîóôúûåãõ"
CHARACTERS_FILE = Path(__file__).with_name("characters.txt")
WORDS_FILE = Path(__file__).with_name("document_words.txt")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_LETTERS = "ABCDEFGHJKLMNOPQRSTUVWXYZ"
"""Without I, which many fonts draw like l."""
_LETTERS_BESIDE_DIGITS = "ABCDEFGHJKMNPRTUVWXY23456789"
_ALIKE_IN_BOTH_CASES = frozenset("COSUVWXZ")
"""A word of these alone does not show which case it is in."""
LONGEST_NAME = {"en": 24, "zh": 8}
"""Characters of a dish's name: longer ones are left out."""


@dataclass(frozen=True, kw_only=True)
class Price:
    """An amount of money as it is printed."""

    text: str
    value: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Words:
    """What texts are made of."""

    dishes: dict[str, tuple[str, ...]]
    """Names by language."""
    characters: str
    """Chinese ones that may stand in random texts."""
    lists: dict[str, tuple[str, ...]]
    """Those of document_words.txt: "english", "english styles", "chinese" ..."""

    def any_text(self, rng: random.Random) -> str:
        """A word, number, price, time, date ... in either language."""
        makers: tuple[tuple[Callable[[random.Random], str], float], ...] = (
            (digits, 2.5),
            (lambda rng: Money.drawn(rng).price(rng).text, 1.0),
            (clock, 0.5),
            (hours, 0.5),
            (date, 0.7),
            (phone, 0.5),
            (weight, 0.5),
            (room, 0.7),
            (letters, 1.5),
            (lambda rng: self.word(rng, "en"), 3.0),
            (lambda rng: self.word(rng, "zh"), 4.0),
            (lambda rng: self.name(rng, "en"), 1.5),
            (lambda rng: self.name(rng, "zh"), 2.0),
        )
        return rng.choices([maker for maker, _ in makers], [share for _, share in makers])[0](rng)

    def word(self, rng: random.Random, language: str) -> str:
        """English: one word in small letters, capitals or with one capital. Chinese: 1 to 5 characters."""
        if language == "en":
            word = rng.choice(self.lists["english"]) if rng.random() < 0.75 else letters(rng).lower()
            return rng.choice((str.lower, str.upper, str.capitalize))(word)
        return (
            rng.choice(self.lists["chinese"]) if rng.random() < 0.4 else self.random_characters(rng, rng.randint(1, 5))
        )

    def random_characters(self, rng: random.Random, count: int) -> str:
        return "".join(rng.choices(self.characters, k=count))

    def title(self, rng: random.Random, language: str) -> str:
        """What stands over a menu or a shop's door."""
        name = "english" if language == "en" else "chinese"
        front, back = self.lists[f"{name} title beginnings"], self.lists[f"{name} title ends"]
        if language == "en":
            title = f"{rng.choice(front)} {rng.choice(back)}"
            return title.upper() if rng.random() < 0.3 else title
        lead = rng.choice(front) if rng.random() < 0.5 else self.random_characters(rng, rng.randint(1, 3))
        return lead + rng.choice(back)

    def name(self, rng: random.Random, language: str) -> str:
        """Of something that is sold: a dish, a made-up dish, a plain word, now and then letters without sense."""
        kind = rng.random()
        if kind < 0.3:
            return rng.choice(self.dishes[language])
        if language == "en":
            if kind < 0.75:
                text = f"{rng.choice(self.lists['english styles'])} {rng.choice(self.lists['english'])}"
            else:
                text = rng.choice(self.lists["english"]) if kind < 0.9 else letters(rng)
            return text.capitalize() if rng.random() < 0.7 else text.title()
        if kind < 0.65:
            return rng.choice(self.lists["chinese styles"]) + rng.choice(self.lists["chinese"])
        return rng.choice(self.lists["chinese"]) if kind < 0.75 else self.random_characters(rng, rng.randint(2, 4))

    def names(self, rng: random.Random, language: str, count: int, longest: int = 99) -> list[str]:
        """Different ones of at most `longest` characters, none of which contains another; often two are alike."""
        found: list[str] = []
        while len(found) < count:
            name = self.near(rng, found[-1], language) if found and rng.random() < 0.25 else self.name(rng, language)
            if len(name) <= longest and not any(_contains(name, other) or _contains(other, name) for other in found):
                found.append(name)
        rng.shuffle(found)
        return found

    def near(self, rng: random.Random, name: str, language: str) -> str:
        """Another name with much in common."""
        if language == "zh":
            place = rng.randrange(len(name))
            return name[:place] + rng.choice(self.characters) + name[place + 1 :]
        first, *others = name.split(" ")
        if others:
            pair = (rng.choice(self.lists["english styles"]), " ".join(others))
            return " ".join(pair if rng.random() < 0.5 else (first, rng.choice(self.lists["english"]))).capitalize()
        return f"{rng.choice(self.lists['english styles'])} {name}".capitalize()

    def absent(self, rng: random.Random, present: list[str], language: str) -> str:
        """A name that is none of these, half the time much like one of them."""
        while True:
            name = self.near(rng, rng.choice(present), language) if rng.random() < 0.5 else self.name(rng, language)
            if not any(_contains(name, other) or _contains(other, name) for other in present):
                return name


@dataclass(frozen=True, kw_only=True)
class Money:
    """How one paper prints its prices."""

    before: str
    after: str
    decimals: int
    top: int
    """The highest whole price."""

    @classmethod
    def drawn(cls, rng: random.Random, language: str = "") -> "Money":
        """In the manner of a language; "": of either."""
        language = language or rng.choice(("en", "zh"))
        signs = (("$", ""), ("£", ""), ("€", ""), ("", "")) if language == "en" else (("¥", ""), ("", "元"))
        before, after = rng.choice(signs)
        decimals = rng.choice((0, 0, 1, 2) if language == "zh" else (0, 2, 2))
        if language == "en" and not before:
            decimals = 2
        return cls(before=before, after=after, decimals=decimals, top=rng.choice((9, 39, 99, 99, 399)))

    def price(self, rng: random.Random) -> Price:
        """At random, up to the top."""
        value = float(rng.randint(1, self.top))
        if self.decimals == 1:
            value += rng.choice((0.5, rng.randint(0, 9) / 10))
        if self.decimals == 2:
            value += rng.choice((0.5, 0.0, 0.99, rng.randint(0, 99) / 100))
        return self.printed(value)

    def printed(self, value: float) -> Price:
        return Price(text=f"{self.before}{value:.{self.decimals}f}{self.after}", value=round(value, self.decimals))

    def different(self, rng: random.Random, count: int) -> list[Price]:
        """Prices of different values."""
        found: dict[float, Price] = {}
        wide = Money(before=self.before, after=self.after, decimals=self.decimals, top=max(self.top, 3 * count))
        while len(found) < count:
            price = wide.price(rng)
            found[price.value] = price
        return list(found.values())


def digits(rng: random.Random) -> str:
    """1 to 6 of them."""
    return "".join(rng.choices(string.digits, k=rng.randint(1, 6)))


def letters(rng: random.Random) -> str:
    """2 to 7 without sense, in one case or with one capital, now and then with digits as on a number plate."""
    alphabet = _LETTERS_BESIDE_DIGITS if rng.random() < 0.25 else _LETTERS
    while True:
        text = "".join(rng.choices(alphabet, k=rng.randint(2, 7)))
        if not set(text) <= _ALIKE_IN_BOTH_CASES:
            return rng.choice((str.upper, str.lower, str.capitalize))(text)


def clock(rng: random.Random) -> str:
    return f"{rng.randint(0, 23)}:{rng.choice((0, 0, 15, 30, 45, rng.randint(0, 59))):02d}"


def opening(rng: random.Random) -> tuple[str, str]:
    """When something opens, and when it closes on the same day."""
    start, end = rng.randint(5, 12), rng.randint(13, 23)
    half = rng.choice((0, 0, 30))
    return f"{start}:{half:02d}", f"{end}:{rng.choice((0, 0, half)):02d}"


def hours(rng: random.Random) -> str:
    return "-".join(opening(rng))


def date(rng: random.Random) -> str:
    year, month, day = rng.randint(2015, 2030), rng.randint(1, 12), rng.randint(1, 28)
    forms = (
        f"{year}-{month:02d}-{day:02d}",
        f"{year}.{month}.{day}",
        f"{day} {MONTHS[month - 1]} {year}",
        f"{MONTHS[month - 1]} {day}",
        f"{month}月{day}日",
        f"{year}年{month}月{day}日",
    )
    return rng.choice(forms)


def phone(rng: random.Random) -> str:
    def part(count: int) -> str:
        return "".join(rng.choices(string.digits, k=count))

    return rng.choice((f"{part(3)}-{part(4)}", f"0{part(2)}-{part(4)}-{part(4)}", f"1{part(2)} {part(4)} {part(4)}"))


def weight(rng: random.Random) -> str:
    unit, top = rng.choice((("g", 990), ("kg", 9), ("ml", 990), ("L", 5), ("克", 990), ("斤", 9)))
    number = rng.randint(1, top)
    return f"{number if top < 10 else max(10, number // 10 * 10)}{' ' if rng.random() < 0.2 else ''}{unit}"


def room(rng: random.Random) -> str:
    number = rng.randint(1, 30) if rng.random() < 0.5 else rng.randint(101, 2099)
    return rng.choice(("Room {}", "Table {}", "No. {}", "Gate {}", "{}室", "{}号", "{}号桌", "{}层")).format(number)


@cache
def read_words() -> Words:
    """The words of this repository. Raises DataError where facts.json has a fault."""
    foods = load_foods().foods
    drawable = set(ASCII + MARKS) | set(chinese_characters())
    dishes = {
        language: tuple(
            name
            for food in foods
            for name in food.names(language)
            if len(name) <= LONGEST_NAME[language] and set(name) <= drawable
        )
        for language in ("en", "zh")
    }
    return Words(dishes=dishes, characters=chinese_characters(), lists=read_lists())


@cache
def chinese_characters() -> str:
    """Those of characters.txt, of the dishes' names and of the words of the facts, each once, sorted."""
    lines = CHARACTERS_FILE.read_text(encoding="utf-8").splitlines()
    texts = [line for line in lines if not line.startswith("#")]
    foods = load_foods()
    texts += [name for food in foods.foods for name in food.names("zh")]
    texts += [word.zh for vocabulary in foods.vocabularies.values() for word in vocabulary.words.values()]
    return "".join(sorted(set(re.findall(r"[\u4e00-\u9fff]", "".join(texts)))))


@cache
def read_lists() -> dict[str, tuple[str, ...]]:
    """The lists of document_words.txt by name."""
    lists: dict[str, list[str]] = {}
    for line in WORDS_FILE.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            words = lists.setdefault(line.strip("[]"), [])
        elif not line.startswith("#"):
            assert lists or not line, f"{WORDS_FILE.name}: a word stands before the first list"
            if line:
                words += line.split()
    return {name: tuple(words) for name, words in lists.items()}


def every_character() -> str:
    """All that a text of this file can hold: ASCII, marks and Chinese characters."""
    listed = "".join("".join(words) for words in read_lists().values())
    return "".join(dict.fromkeys(ASCII + MARKS + chinese_characters() + listed))


def _contains(text: str, part: str) -> bool:
    return part.casefold() in text.casefold()
