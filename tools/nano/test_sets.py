"""Writes test sets of general abilities: new scenes, as drawn, of trained styles and of styles that were never seen.

    python -m tools.nano.test_sets --out out/nano/tests --number 600

In: the packs of artwork and fonts. Out: OUT/general.jsonl and pictures, which `ivl eval OUT/general.jsonl` reads: one
question a line with its `ability`, `style` and `language` as tags. Each scene is asked once for each ability.
"""

import argparse
import dataclasses
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from tools.nano.ask import Asker, Turn
from tools.nano.documents import make_document
from tools.nano.lettering import Lettering
from tools.nano.pack import read_pack
from tools.nano.paint import Painter
from tools.nano.phrases import named
from tools.nano.planner import Form, Planner
from tools.nano.scene import Scene
from tools.nano.setting import Setting, make_setting

ABILITIES: dict[str, tuple[tuple[str, ...], str]] = {
    "kind": (("name",), "exact"),
    "counting": (("count", "total"), "exact"),
    "colour": (("colour", "background"), "exact"),
    "position": (("where", "at", "is_side"), "exact"),
    "grounding": (("ground",), "iou"),
    "refusal": (("refuse",), "exact"),
}
"""Kinds of question that test an ability, and how answers are scored."""
STYLES = {"trained": None, "openmoji": ("openmoji",), "fxemoji": ("fxemoji",)}
SIZES = {(224, 224): 3.0, (448, 448): 1.0, (672, 448): 0.5}
_TRIES = 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", type=Path, default=Path("out/nano/pack.npz"))
    parser.add_argument("--fonts", type=Path, default=Path("out/nano/fonts"))
    parser.add_argument("--out", type=Path, default=Path("out/nano/tests"))
    parser.add_argument("--number", type=int, default=600, help="questions for each ability and group of styles")
    parser.add_argument("--seed", type=int, default=1001)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    pack = read_pack(args.pack)
    maker = _Maker(make_setting(pack), Painter(torch.from_numpy(pack.sprites).to(args.device)), args.out, args.seed)
    rows = [row for style in STYLES for row in maker.scenes(style, args.number)]
    rows += maker.documents(Lettering(args.fonts), args.number)
    with (args.out / "general.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    print(f"{args.out}/general.jsonl: {len(rows)} questions")


class _Maker:
    """Draws pictures and writes rows."""

    def __init__(self, setting: Setting, painter: Painter, out: Path, seed: int) -> None:
        self.setting, self.painter, self.out, self.seed = setting, painter, out, seed
        (out / "pictures").mkdir(parents=True, exist_ok=True)

    def scenes(self, style: str, number: int) -> Iterator[dict[str, Any]]:
        """`number` questions of each ability about scenes of one group of styles."""
        names = STYLES[style]
        planner = Planner(
            self.setting.catalogue, self.setting.style_mix(*names) if names else self.setting.training_mix
        )
        for ability, (kinds, metric) in ABILITIES.items():
            rng = random.Random(f"{self.seed} {style} {ability}")
            for idx in range(number):
                scene, turn, language = _asked(planner, self.setting.asker, kinds, rng)
                torch.manual_seed(rng.randrange(2**31))
                name = f"{style}-{ability}-{idx:04}"
                path = self._save(self.painter.paint([scene], strong=False)[0], name)
                tags = {"ability": ability, "style": style, "language": language}
                yield row(name, path, turn, metric, tags)

    def documents(self, lettering: Lettering, number: int) -> Iterator[dict[str, Any]]:
        """Questions about text."""
        rng = random.Random(f"{self.seed} documents")
        for idx in range(number):
            document = make_document(rng, lettering, rng.choices(list(SIZES), list(SIZES.values()))[0])
            turn = rng.choice(document.turns)
            name = f"ocr-{idx:04}"
            path = f"pictures/{name}.png"
            document.picture.save(self.out / path)
            tags = {"ability": "ocr", "style": "text", "language": document.language}
            metric = "iou" if "<box>" in turn.answer else "exact"
            yield row(name, path, Turn(kind="ocr", question=turn.question, answer=turn.answer), metric, tags)

    def _save(self, canvas: torch.Tensor, name: str) -> str:
        path = f"pictures/{name}.png"
        Image.fromarray(canvas.permute(1, 2, 0).cpu().numpy()).save(self.out / path)
        return path


def _asked(planner: Planner, asker: Asker, kinds: tuple[str, ...], rng: random.Random) -> tuple[Scene, Turn, str]:
    """A scene that allows a question of one of the kinds."""
    while True:
        size = rng.choices(list(SIZES), list(SIZES.values()))[0]
        forms: tuple[Form, ...] = ("single",) if kinds == ("name",) else ("several", "counting")
        form = "small" if size != (224, 224) and kinds != ("name",) else rng.choice(forms)
        scene = planner.plan(form, size, rng)
        scene = dataclasses.replace(scene, label=None)
        for _ in range(_TRIES):
            language = rng.choice(("en", "zh"))
            turn = asker.ask(rng.choice(kinds), scene, rng, language)
            if turn:
                return scene, turn, language


def row(name: str, path: str, turn: Turn, metric: str, tags: dict[str, str]) -> dict[str, Any]:
    """One line of a test set; a name may be said alone or in a sentence, boxes are given as numbers."""
    answers: Any = [turn.answer]
    if turn.kind in ("name", "region"):
        noun, language = turn.nouns[0], tags["language"]
        answers = list(dict.fromkeys((noun.word(language), named(noun, language), noun.one)))[: 3 - (language == "zh")]
    if metric == "iou":
        answers = json.loads(turn.answer.split("<box>")[1].split("</box>")[0])
    return {"id": name, "image": path, "question": turn.question, "answer": answers, "metric": metric, "tags": tags}


if __name__ == "__main__":
    main()
