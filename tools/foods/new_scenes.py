"""Draws new scenes of single foods from the pack of artwork, and asks the food set's questions about them.

    python -m tools.foods.new_scenes --out out/foods/new --name trained --scenes 2
    python -m tools.foods.new_scenes --out out/foods/new --name heldout --style openmoji --style fxemoji --scenes 6
    ivl eval out/foods/new/trained out/foods/new/trained/naming_en.jsonl

In: the pack that `tools.nano.artwork` wrote, the table of foods. Out: OUT/NAME in FoodieQA's layout with pictures,
naming_zh.jsonl and naming_en.jsonl, which ask for the name of every picture; OUT/foods.json. Unlike `build.py
--scenes` it needs no resvg, paints on any device, and sets things on the small model's grounds. The same seed,
amounts and device give the same files.
"""

import argparse
import json
import random
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tools.foods.build import HELD_OUT_DISHES, shipped_plans
from tools.foods.facts import load_foods
from tools.foods.food import Food, Foods, Language
from tools.foods.pictures import STYLES, TRAINED_STYLES, grey
from tools.foods.questions import Asked, Shown
from tools.foods.scenes import LICENCE, VERSION, SetPlan, questions_of
from tools.nano.pack import read_pack
from tools.nano.paint import Painter
from tools.nano.planner import Planner
from tools.nano.scene import Scene
from tools.nano.setting import Setting, make_setting

from ivl.zoo import foods_folder

SIZE = (224, 224)
"""Width and height of a picture."""
QUALITY = 88
"""Of JPEG files."""
CHUNK = 128
"""Pictures that are painted together."""
NAMING: Mapping[Language, tuple[str, ...]] = {
    "zh": ("这是什么菜？", "图中的食物叫什么名字？", "图片里是什么食物？"),
    "en": ("What dish is this?", "What is the food in the picture called?", "Which food does the picture show?"),
}
"""The questions of `ivl.evals.own`, one after the other."""


@dataclass(frozen=True, kw_only=True)
class _Job:
    """One picture to paint."""

    path: Path
    scene: Scene


class Studio:
    """The artwork, ready to paint with on one device."""

    def __init__(self, pack: Path, device: str) -> None:
        artwork = read_pack(pack)
        self.setting: Setting = make_setting(artwork)
        self.painter = Painter(torch.from_numpy(artwork.sprites).to(device))
        self._things = {thing.code: idx for idx, thing in enumerate(artwork.things)}

    @property
    def trained_styles(self) -> tuple[str, ...]:
        """All styles that training may show, outlined and line-drawn ones too."""
        return tuple(self.setting.styles[idx] for idx in self.setting.trained_styles)

    def draws(self, style: str, food: Food) -> bool:
        return self._things.get(food.code) in self.setting.catalogue.by_style[self.setting.styles.index(style)]

    def paint(self, plan: SetPlan, folder: Path, *, strong: bool) -> Shown:
        """Write the plan's pictures. strong: change the look of things, as training does; else as drawn."""
        files: dict[tuple[str, str], list[str]] = {}
        jobs: list[_Job] = []
        for style in plan.styles:
            planner = Planner(self.setting.catalogue, self.setting.style_mix(style))
            for food in plan.foods:
                for number in range(plan.scenes if self.draws(style, food) else 0):
                    name = f"images/{style}/{food.food_id}-{number}.jpg"
                    rng = random.Random(f"{plan.name}{plan.look} {name}")
                    scene = planner.plan("single", SIZE, rng, [self._things[food.code]])
                    jobs.append(_Job(path=folder / name, scene=scene))
                    files.setdefault((style, food.food_id), []).append(name)
            (folder / "images" / style).mkdir(parents=True, exist_ok=True)
        if plan.is_grey:
            for job in jobs:
                job.path.write_bytes(grey())
        else:
            self._write(jobs, f"{plan.name}{plan.look}", strong)
        return Shown(files=files)

    def _write(self, jobs: Sequence[_Job], seed: str, strong: bool) -> None:
        with ThreadPoolExecutor(16) as pool:
            for start in range(0, len(jobs), CHUNK):
                chunk = jobs[start : start + CHUNK]
                torch.manual_seed(random.Random(f"{seed} {start}").randrange(2**31))
                canvases = self.painter.paint([job.scene for job in chunk], strong=strong)
                pixels = canvases.permute(0, 2, 3, 1).contiguous().cpu().numpy()
                list(pool.map(_save, [job.path for job in chunk], pixels))


def make_scene_set(
    plan: SetPlan, folder: Path, table: Foods, studio: Studio, *, strong: bool = False
) -> frozenset[Asked]:
    """Write the set into `folder`, and all names beside it; the questions without pictures that it asks."""
    folder.mkdir(parents=True, exist_ok=True)
    shown = studio.paint(plan, folder, strong=strong)
    written = questions_of(plan, table, shown, plan.avoid)
    for task, entries in written.entries.items():
        if entries:
            _write_json(folder / f"{task}_tidy.json", list(entries))
    for language in NAMING:
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in naming_rows(shown, table, language))
        (folder / f"naming_{language}.jsonl").write_text("".join(lines), encoding="utf-8")
    _write_json(folder / "dataset.json", {"name": f"ivl foods, {plan.name}", "licence": LICENCE, "version": VERSION})
    shutil.copyfile(foods_folder() / "foods.json", folder.parent / "foods.json")
    return written.asked


def naming_rows(shown: Shown, table: Foods, language: Language) -> Iterator[dict[str, Any]]:
    """A row for each picture, as `ivl eval FILE.jsonl` reads it: any of the food's names is right."""
    pictures = [(path, style, food_id) for (style, food_id), paths in shown.files.items() for path in paths]
    for number, (path, style, food_id) in enumerate(pictures):
        yield {
            "id": f"{language}-{number}",
            "image": path,
            "question": NAMING[language][number % len(NAMING[language])],
            "answers": list(table[food_id].names(language)),
            "metric": "contains",
            "tags": {"style": style, "dish": food_id, "language": language},
        }


def asked_in_training(table: Foods) -> frozenset[Asked]:
    """The questions without pictures that the shipped training set asks, so that a test can say them otherwise."""
    plan, folder = shipped_plans(table.foods)[0], foods_folder() / "train"
    files: dict[tuple[str, str], list[str]] = {}
    for style in plan.styles:
        for food in plan.foods:
            path = folder / "images" / style / f"{food.food_id}.webp"
            if path.is_file():
                files[style, food.food_id] = [path.relative_to(folder).as_posix()]
    return questions_of(plan, table, Shown(files=files), frozenset()).asked


def grey_copy(source: Path, folder: Path) -> None:
    """A folder in FoodieQA's layout, all its pictures grey."""
    blank = grey()
    for path in sorted(source.rglob("*")):
        target = folder / path.relative_to(source)
        if path.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes() if path.suffix in (".json", ".jsonl") else blank)


def main() -> None:
    args = _parser().parse_args()
    table = load_foods()
    foods = [food for food in table.foods if (food.food_id in HELD_OUT_DISHES) == (args.dishes == "heldout")]
    plan = SetPlan(
        name=args.name,
        look=f" {args.seed}",
        foods=foods,
        styles=args.style or TRAINED_STYLES,
        sizes=(args.sivqa, args.mivqa, args.textqa),
        scenes=args.scenes,
        evenly=True,
        is_grey=args.grey,
        avoid=asked_in_training(table),
    )
    make_scene_set(plan, args.out / args.name, table, Studio(args.pack, args.device), strong=args.strong)
    print(f"{args.out / args.name}: {sum(1 for _ in (args.out / args.name).rglob('*.jpg')):,} pictures")


def _save(path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(path, quality=QUALITY)


def _write_json(path: Path, data: Any) -> None:
    path.write_text(json.dumps(data, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--name", default="trained", help="the set's folder, and part of its seed")
    parser.add_argument("--pack", type=Path, default=Path("out/nano/pack.npz"))
    parser.add_argument("--style", action="append", choices=STYLES, help="may be given again; else all trained ones")
    parser.add_argument("--dishes", choices=("trained", "heldout"), default="trained")
    parser.add_argument("--scenes", type=int, default=2, help="pictures of each food and style")
    parser.add_argument("--sivqa", type=int, default=600, help="questions on one picture")
    parser.add_argument("--mivqa", type=int, default=504, help="on four")
    parser.add_argument("--textqa", type=int, default=504, help="on none")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--grey", action="store_true", help="all pictures grey: the blind test")
    parser.add_argument("--strong", action="store_true", help="change the look of things, as training does")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser


if __name__ == "__main__":
    main()
