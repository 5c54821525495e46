"""Pictures with text, and conversations about them.

    python -m tools.nano.documents --sample out/nano/samples     # 20 pictures with their questions, and the speed

In: a `random.Random`, a `Lettering` (from the pack that `fonts.py` made), a size. Out: a `Document`; the same random
state, pack and Pillow give the same document. Also `label`, a small card of text for scenes of other things.
"""

import argparse
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw
from tools.nano.document_page import Page, TooTightError, card_colours
from tools.nano.document_papers import (
    Maker,
    has_chinese,
    make_hours,
    make_menu,
    make_note,
    make_practice,
    make_receipt,
    make_sign,
    make_table,
    make_tag,
    make_word,
)
from tools.nano.document_questions import Turn, ask
from tools.nano.document_words import Words, digits, letters, read_words
from tools.nano.lettering import Lettering, coloured

SMALL: dict[Maker, float] = {
    make_word: 4.0, make_practice: 4.5, make_tag: 1.7, make_sign: 1.5, make_note: 2.0, make_menu: 3.0, make_table: 0.7,
}  # fmt: skip
LARGE: dict[Maker, float] = {
    make_word: 1.0, make_practice: 2.5, make_tag: 0.8, make_sign: 1.2, make_note: 1.7, make_menu: 4.0,
    make_receipt: 1.3, make_hours: 0.8, make_table: 1.0,
}  # fmt: skip
"""How often papers are made, beside each other, where a side has less than 300 pixels, and elsewhere."""
SIZES = ((224, 224), (448, 224), (448, 448), (672, 448), (896, 672))
OTHER_LANGUAGE = 0.15
"""Share of the papers that are asked about in the language that they are not in."""
LEAST_LABEL = 12
"""Pixels of a label's characters; a label that can't hold one such digit gets a smaller one."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Document:
    """A picture with text and a conversation about it."""

    picture: Image.Image
    """RGB."""
    turns: tuple[Turn, ...]
    """1 to 6."""
    language: str
    """Of the questions."""
    kind: str
    """"word", "practice", "note", "sign", "tag", "menu", "receipt", "hours" or "table"."""


def make_document(
    rng: random.Random, lettering: Lettering, size: tuple[int, int], words: Words | None = None
) -> Document:
    """One document of (width, height) pixels, both at least 160; words None: those of this repository."""
    words = words or read_words()
    makers = SMALL if min(size) < 300 else LARGE
    while True:
        maker = rng.choices(list(makers), list(makers.values()))[0]
        language = rng.choice(("en", "zh"))
        page = Page(rng, lettering, size)
        try:
            paper = maker(page, words, language)
        except TooTightError:
            continue
        asked = paper.language
        if rng.random() < OTHER_LANGUAGE:
            asked = "zh" if asked == "en" else "en"
        turns = ask(paper, size, words, rng, asked, rng.randint(1, 6))
        return Document(picture=page.finish(), turns=tuple(turns), language=asked, kind=paper.kind)


def label(
    rng: random.Random, lettering: Lettering, max_width: int, max_height: int, words: Words | None = None
) -> tuple[Image.Image, str, str]:
    """A small card: (RGBA picture of at most that size, its text, the language to ask for it in: "en" or "zh").

    Never a dish's name: a label stands beside things that it does not name.
    """
    words = words or read_words()
    text = ""
    for _ in range(12):
        text = _label_text(rng, words)
        height = rng.randint(LEAST_LABEL, max(LEAST_LABEL, round(max_height * 0.7)))
        face = lettering.choose(rng, text, 99)
        height = lettering.height_for([text], face, max_width - height * 0.5, height)
        least = max(LEAST_LABEL + 2 if has_chinese(text) else LEAST_LABEL, face.smallest)
        if height >= least:
            break
    else:
        text = rng.choice("0123456789")
        face, height = lettering.choose(rng, text, 99), max(4, min(LEAST_LABEL, max_height - 8))
    mask = lettering.ink(text, face, height).mask
    rim = max(2, round(height * rng.uniform(0.2, 0.4)))
    width = min(max_width, mask.width + 2 * rim)
    tall = min(max_height, mask.height + 2 * rim)
    ground, ink = card_colours(rng)
    card = Image.new("RGBA", (width, tall), (*ground, 0))
    edge = ImageDraw.Draw(card)
    edge.rounded_rectangle((0, 0, width - 1, tall - 1), rng.choice((0, 0, rim)), fill=(*ground, 255))
    card.alpha_composite(coloured(mask, ink), ((width - mask.width) // 2, (tall - mask.height) // 2))
    language = "zh" if has_chinese(text) else "en" if any(map(str.isalpha, text)) else rng.choice(("en", "zh"))
    return card, text, language


def _label_text(rng: random.Random, words: Words) -> str:
    kind = rng.random()
    if kind < 0.25:
        return digits(rng)
    if kind < 0.4:
        return letters(rng)
    language = "en" if kind < 0.65 else "zh"
    names = {name.casefold() for name in words.dishes[language]}
    while (word := words.word(rng, language)).casefold() in names:
        pass
    return word


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fonts", type=Path, default=Path("out/nano/fonts"))
    parser.add_argument("--sample", type=Path, required=True, help="folder for pictures with their questions")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(arguments)
    lettering = Lettering(args.fonts)
    args.sample.mkdir(parents=True, exist_ok=True)
    for number in range(args.count):
        document = make_document(random.Random(args.seed * 1000 + number), lettering, SIZES[number % len(SIZES)])
        document.picture.save(args.sample / f"{number:02}-{document.kind}.png")
        lines = [f"Q: {turn.question}\nA: {turn.answer}\n" for turn in document.turns]
        (args.sample / f"{number:02}-{document.kind}.txt").write_text("\n".join(lines), encoding="utf-8")
    for size in SIZES:
        print(f"{size[0]}x{size[1]}: {_milliseconds(lettering, size):.2f} ms a document")


def _milliseconds(lettering: Lettering, size: tuple[int, int]) -> float:
    """Of processor time, when most glyphs are in the cache."""
    rng = random.Random(1)
    for _ in range(200):
        make_document(rng, lettering, size)
    began = time.process_time()
    for _ in range(200):
        make_document(rng, lettering, size)
    return (time.process_time() - began) * 5


if __name__ == "__main__":
    main()
