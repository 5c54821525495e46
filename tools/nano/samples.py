"""Draws the sample pictures that ship in `ivl.zoo`, and writes the questions about them with their true answers.

    python -m tools.nano.samples --out src/ivl/zoo/pictures          # needs npm and resvg, the packs, the food set

In: `sample_list.py`, the packs of artwork and fonts, the npm packages, two pictures of the food set's test parts. Out:
PNG files below 60,000 bytes and questions.json. Every question has a wording that was taught, and its answer is
computed from the plan by the code that made the training questions, never taken from a model. The same packages give
the same bytes.
"""

import argparse
import json
import math
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from PIL import Image
from tools.foods.packages import install
from tools.nano.artwork import PINS
from tools.nano.colours import NAMES
from tools.nano.document_page import Page
from tools.nano.document_papers import make_menu
from tools.nano.document_questions import ask
from tools.nano.document_words import read_words
from tools.nano.drawing import Artist
from tools.nano.jobs import read_label
from tools.nano.lettering import Lettering
from tools.nano.pack import read_pack
from tools.nano.sample_list import SAMPLES, SAND, Asked, Drawn, Food, Menu, Placed
from tools.nano.scene import GRADIENT, PLAIN, Item, Scene
from tools.nano.setting import Setting, make_setting

from ivl.zoo import foods_folder

COLOURS_KEPT = 96
"""Palette size of the PNG files."""
_TRIES = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", type=Path, default=Path("out/nano/pack.npz"))
    parser.add_argument("--npm", type=Path, default=Path("out/nano/npm"), help="where npm installs the packages")
    parser.add_argument("--fonts", type=Path, default=Path("out/nano/fonts"))
    parser.add_argument("--out", type=Path, default=Path("src/ivl/zoo/pictures"))
    args = parser.parse_args()
    pack = read_pack(args.pack, workers=2)
    artist = Artist(install(args.npm, PINS), pack.things, len(pack.sprites))
    maker = SampleMaker(make_setting(pack), artist, Lettering(args.fonts))
    args.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, sample in enumerate(SAMPLES, 1):
        file = f"{number}-{sample.name}.png"
        picture, asked = maker.make(sample)
        picture.quantize(COLOURS_KEPT, dither=Image.Dither.NONE).save(args.out / file, optimize=True)
        rows += [{"picture": file, **row} for row in asked]
        print(f"{file}: {(args.out / file).stat().st_size} bytes")
    text = json.dumps(rows, ensure_ascii=False, indent=1) + "\n"
    (args.out / "questions.json").write_text(text, encoding="utf-8")


class SampleMaker:
    """Draws samples and answers their questions."""

    def __init__(self, setting: Setting, artist: Artist, lettering: Lettering) -> None:
        self.setting, self.artist, self.lettering = setting, artist, lettering
        self.things = {thing.english: idx for idx, thing in enumerate(setting.catalogue.things)}

    def make(self, sample: Drawn | Food | Menu) -> tuple[Image.Image, list[dict[str, str]]]:
        """The RGB picture, and its questions in both languages with their answers."""
        if isinstance(sample, Menu):
            return self._menu(sample)
        if isinstance(sample, Food):
            with Image.open(foods_folder() / sample.path) as picture:
                place = Placed(name=sample.thing, x=picture.width / 2, y=picture.height / 2, side=picture.width)
                scene = self._scene("noto", picture.size, (place,))
                return picture.convert("RGB"), list(self._rows(sample.questions, scene))
        picture, scene = self._draw(sample)
        return picture, list(self._rows(sample.questions, scene, self._label(picture, sample)))

    def _draw(self, sample: Drawn) -> tuple[Image.Image, Scene]:
        scene = self._scene(sample.style, sample.size, sample.things)
        ground = PLAIN if sample.colours[0] == sample.colours[1] else GRADIENT
        scene = replace(scene, ground=ground, background=sample.background, colours=sample.colours, label=sample.label)
        return self.artist.draw(scene, random.Random(1))

    def _label(self, picture: Image.Image, sample: Drawn) -> str:
        """Puts the card on the picture; its text."""
        if sample.label is None:
            return ""
        text = read_label(self.lettering, picture, sample.label, random.Random(1)).answer
        assert text.isdigit(), f"a card is asked for in both languages, so it has a number; seed makes {text!r}"
        return text

    def _scene(self, style: str, size: tuple[int, int], things: tuple[Placed, ...]) -> Scene:
        return Scene(
            size=size,
            items=tuple(self._item(style, each) for each in things),
            ground=PLAIN,
            background=None,
            colours=(SAND, SAND),
            keep_colours=True,
        )

    def _item(self, style: str, placed: Placed) -> Item:
        catalogue, thing = self.setting.catalogue, self.things[placed.name]
        sprite = catalogue.by_style[self.setting.styles.index(style)][thing][0]
        colour = int(catalogue.colours[sprite])
        return Item(
            thing=thing,
            noun=catalogue.nouns[thing],
            sprite=sprite,
            x=placed.x,
            y=placed.y,
            side=placed.side,
            angle=math.radians(placed.degrees),
            flip=False,
            stretch=(1.0, 1.0),
            box=(0, 0, 1000, 1000),  # until it is drawn
            colour=NAMES[colour] if colour >= 0 else None,
        )

    def _rows(self, questions: tuple[Asked, ...], scene: Scene, label: str = "") -> Iterator[dict[str, str]]:
        for kind, *texts in questions:
            for language, text in zip(("en", "zh"), texts, strict=True):
                answer = label if kind == "label" else self._answer(kind, text, scene, language)
                yield {"language": language, "question": text, "answer": answer}

    def _answer(self, kind: str, question: str, scene: Scene, language: str) -> str:
        """What training would have answered. Fails where it would not have asked this, or not in these words."""
        asker, rng = self.setting.asker, random.Random(1)
        named = [noun for noun in asker.near if noun.word(language) in question]
        asker = replace(asker, nouns=named or asker.nouns, near=dict.fromkeys(asker.near, ()))
        for _ in range(_TRIES):
            turn = asker.ask(kind, scene, rng, language)
            if turn and turn.question == question:
                return turn.answer
        raise AssertionError(f"{kind} is never asked so: {question!r}")

    def _menu(self, sample: Menu) -> tuple[Image.Image, list[dict[str, str]]]:
        words, rng = read_words(), random.Random(sample.seed)
        page = Page(rng, self.lettering, sample.size)
        paper = make_menu(page, words, sample.language)
        picture, rows = page.finish(), []
        for _, *texts in sample.questions:
            for language, text in zip(("en", "zh"), texts, strict=True):
                turns = (turn for _ in range(_TRIES) for turn in ask(paper, sample.size, words, rng, language, 6))
                answer = next((turn.answer for turn in turns if turn.question == text), None)
                assert answer is not None, f"a menu is never asked so: {text!r}"
                rows.append({"language": language, "question": text, "answer": answer})
        return picture, rows


if __name__ == "__main__":
    main()
