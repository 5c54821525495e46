"""Writes the set of general abilities that ships: what the small model could do before it was taught foods.

    python -m tools.nano.general                     # needs npm and resvg, the packs of artwork and of fonts

In: the packs, and the npm packages that they were made from. Out: OUT with `test.jsonl`, which `ivl eval general`
reads: new scenes, each asked for every ability; `train.jsonl`: conversations that a fine-tune replays; `pictures`, the
card, the attribution. No picture is in both. The same packages, resvg, Pillow and fonts give the same bytes.
"""

import argparse
import json
import random
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from tools.foods.packages import install
from tools.nano.artwork import PINS
from tools.nano.ask import Turn
from tools.nano.documents import make_document
from tools.nano.drawing import Artist
from tools.nano.general_card import write_attribution, write_card
from tools.nano.jobs import FEW, TURNS, read_label, record
from tools.nano.lettering import Lettering
from tools.nano.pack import read_pack
from tools.nano.pairs import PairMaker
from tools.nano.planner import Form, Mix, Planner
from tools.nano.scene import Scene
from tools.nano.setting import Setting, make_setting
from tools.nano.talk import talk
from tools.nano.test_sets import ABILITIES, row

LEFT_OUT = ("emojione-v1",)
"""Trained styles that ask for share-alike."""
NUMBER = {"scenes": 60, "singles": 8, "documents": 8}
"""Test pictures: of several things with a label, of one thing, of text."""
REPLAYED = {"scenes": 130, "pairs": 24, "documents": 42}
"""Training pictures; of each thing in `pairs` there are two."""
SEVERAL = 30
"""Conversations about several of the training pictures."""
SIZES = {(224, 224): 5.0, (448, 224): 1.0, (224, 448): 0.5, (336, 336): 1.0, (448, 448): 0.8}
QUALITY = 84
"""Of lossy WebP."""
ASKED = ABILITIES | {
    "kind": (("name", "region"), "exact"),
    "counting": (("count",), "exact"),
    "ocr": (("label",), "exact"),
}
MANY = 0.75
"""Share of the questions of counting whose answer is two or more."""
_TRIES = 60
Questions = dict[str, tuple[Turn, str]]
"""Ability -> a question and its language."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", type=Path, default=Path("out/nano/pack.npz"))
    parser.add_argument("--npm", type=Path, default=Path("out/nano/npm"))
    parser.add_argument("--fonts", type=Path, default=Path("out/nano/fonts"))
    parser.add_argument("--out", type=Path, default=Path("src/ivl/zoo/general"))
    parser.add_argument("--seed", type=int, default=2024)
    args = parser.parse_args()
    modules = install(args.npm, PINS)
    pack = read_pack(args.pack, workers=2)
    artist = Artist(modules, pack.things, len(pack.sprites))
    maker = GeneralMaker(make_setting(pack), artist, Lettering(args.fonts), args.out)
    for name in ("pictures/test", "pictures/train"):
        shutil.rmtree(args.out / name, ignore_errors=True)
        (args.out / name).mkdir(parents=True)
    asked = list(maker.test(random.Random(f"{args.seed} general test")))
    told = list(maker.train(random.Random(f"{args.seed} general train")))
    write_lines(args.out / "test.jsonl", asked)
    write_lines(args.out / "train.jsonl", told)
    write_card(args.out, asked, told)
    write_attribution(args.out / "ATTRIBUTION.md", modules, maker.style_names, args.fonts / "LICENCES.md")
    size = sum(path.stat().st_size for path in args.out.rglob("*") if path.is_file())
    print(f"{args.out}: {len(asked)} questions, {len(told)} conversations, {size / 2**20:.2f} MiB")
    print(Counter(line["tags"]["ability"] for line in asked))


class GeneralMaker:
    """Draws pictures and writes lines."""

    def __init__(self, setting: Setting, artist: Artist, lettering: Lettering, out: Path) -> None:
        self.setting, self.artist, self.lettering, self.out = setting, artist, lettering, out
        mix = setting.training_mix
        kept = [
            (style, weight)
            for style, weight in zip(mix.styles, mix.style_weights, strict=True)
            if setting.styles[style] not in LEFT_OUT
        ]
        self.style_names = [setting.styles[style] for style, _ in kept]
        styles, weights = zip(*kept, strict=True)
        self.planner = Planner(setting.catalogue, Mix(styles=styles, style_weights=weights))

    def test(self, rng: random.Random) -> Iterator[dict[str, Any]]:
        """Questions: each picture is asked once for each ability that it allows."""
        number = 0
        for form, most in NUMBER.items():
            for _ in range(most):
                picture, turns = self._asked_document(rng) if form == "documents" else self._asked_scene(rng, form)
                path = self._save(picture, f"test/{number:03}")
                for ability, (turn, language) in turns.items():
                    style = "text" if form == "documents" else "trained"
                    tags = {"ability": ability, "style": style, "language": language}
                    yield row(f"{number:03}-{ability}", path, turn, ASKED[ability][1], tags)
                number += 1

    def _asked_document(self, rng: random.Random) -> tuple[Image.Image, Questions]:
        """A picture with text, and a question that is answered by reading, not by a box."""
        while True:
            document = make_document(rng, self.lettering, _size(rng))
            plain = [turn for turn in document.turns if "<box>" not in turn.answer]
            if plain:
                turn = rng.choice(plain)
                asked = Turn(kind="ocr", question=turn.question, answer=turn.answer)
                return document.picture, {"ocr": (asked, document.language)}

    def _asked_scene(self, rng: random.Random, form: str) -> tuple[Image.Image, Questions]:
        """A scene that allows all abilities (of one thing: all but counting and reading), and a question of each."""
        is_single = form == "singles"
        abilities = [ability for ability in ASKED if ability != "ocr" and not (is_single and ability == "counting")]
        least = 2 if rng.random() < MANY else 0
        while True:
            scene = self._plan(rng, ("single",) if is_single else ("several", "counting", "counting"))
            if not is_single and not scene.label:
                continue
            picture, scene = self.artist.draw(scene, rng)
            found = {ability: self._question(ability, scene, rng, least) for ability in abilities}
            turns = {ability: asked for ability, asked in found.items() if asked}
            if len(turns) == len(abilities):
                if scene.label:
                    turn = read_label(self.lettering, picture, scene.label, rng)
                    turns["ocr"] = (turn, language_of(turn))
                return picture, turns

    def _question(self, ability: str, scene: Scene, rng: random.Random, least: int) -> tuple[Turn, str] | None:
        """least: of a count."""
        for _ in range(_TRIES):
            language = rng.choice(("en", "zh"))
            turn = self.setting.asker.ask(rng.choice(ASKED[ability][0]), scene, rng, language)
            if turn and (ability != "counting" or int(turn.answer) >= least):
                return turn, language
        return None

    def train(self, rng: random.Random) -> Iterator[dict[str, Any]]:
        """Conversations: of scenes and documents, then of several of the pictures of single things."""
        number = 0
        for _ in range(REPLAYED["scenes"]):
            yield self._replayed(number, self._plan(rng, ("several", "counting")), rng)
            number += 1
        singles = []
        for thing in self._different_things(rng, REPLAYED["pairs"]):
            for _ in range(2):
                scene = self.planner.plan("single", _size(rng), rng, [thing])
                line = self._replayed(number, scene, rng)
                singles.append((line["image"], thing))
                number += 1
                yield line
        for _ in range(REPLAYED["documents"]):
            document = make_document(rng, self.lettering, _size(rng))
            turns = [Turn(kind=document.kind, question=each.question, answer=each.answer) for each in document.turns]
            yield record(f"general-text-{number:03}", [self._save(document.picture, f"train/{number:03}")], turns)
            number += 1
        pairs = PairMaker(singles, self.setting.catalogue.nouns, self.setting.asker, rng)
        for idx in range(SEVERAL):
            yield record(f"general-several-{idx:03}", *pairs.make())

    def _replayed(self, number: int, scene: Scene, rng: random.Random) -> dict[str, Any]:
        picture, scene = self.artist.draw(scene, rng)
        label = [read_label(self.lettering, picture, scene.label, rng)] if scene.label else []
        most = FEW if len(scene.items) == 1 else TURNS - len(label)
        turns: list[Turn] = []
        while not turns:
            turns = talk(self.setting.asker, scene, rng, most)
        place = rng.randint(0, len(turns))
        turns[place:place] = label
        return record(f"general-{number:03}", [self._save(picture, f"train/{number:03}")], turns)

    def _plan(self, rng: random.Random, forms: Sequence[Form]) -> Scene:
        size = _size(rng)
        form: Form = "small" if min(size) >= 448 and "single" not in forms else rng.choice(forms)
        return self.planner.plan(form, size, rng)

    def _different_things(self, rng: random.Random, number: int) -> list[int]:
        """Of all kinds, foods among them."""
        found: dict[int, None] = {}
        while len(found) < number:
            found[self.planner.draw_thing(rng.choice(self.planner.mix.styles), rng)] = None
        return list(found)

    def _save(self, picture: Image.Image, name: str) -> str:
        path = f"pictures/{name}.webp"
        picture.save(self.out / path, "WEBP", quality=QUALITY, method=6)
        return path


def language_of(turn: Turn) -> str:
    """Of a question: "zh" where it holds a Chinese character."""
    return "zh" if any("\u4e00" <= char <= "\u9fff" for char in turn.question) else "en"


def write_lines(path: Path, lines: Sequence[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")


def _size(rng: random.Random) -> tuple[int, int]:
    return rng.choices(list(SIZES), list(SIZES.values()))[0]


if __name__ == "__main__":
    main()
