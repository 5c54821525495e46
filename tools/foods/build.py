"""Builds the food set: pictures, questions, facts, card and attribution.

    python -m tools.foods.build                                   # src/ivl/zoo/foods, bit for bit
    python -m tools.foods.build --out out/foods/grey --grey       # the blind test: the same set, all pictures grey
    python -m tools.foods.build --out out/foods/new --scenes 8    # new scenes of the same foods, for larger tables
    python -m tools.foods.build --out out/foods/openmoji --scenes 8 --style openmoji --sivqa 2000

In: `facts.json` and npm packages of the versions in `packages.py` (fetched where they are missing; resvg-py draws).
Out: the folder, replaced as a whole. With --scenes N its sets are larger and their pictures others than those that
ship: N of each food and style.
"""

import argparse
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tools.foods.attribution import write_attribution
from tools.foods.card import write_card
from tools.foods.facts import FACT_NAMES, load_foods
from tools.foods.food import Food, Foods
from tools.foods.packages import install
from tools.foods.pictures import HELD_OUT_STYLES, STYLES, TRAINED_STYLES, Drawing, read_drawings
from tools.foods.questions import Asked
from tools.foods.scenes import SetPlan, make_set

OUT = Path("src/ivl/zoo/foods")
HELD_OUT_DISHES = frozenset(
    {
        *("pineapple", "tomato", "eggplant", "doughnut", "birthday-cake", "lollipop", "shaved-ice", "popcorn"),
        *("spaghetti", "curry-rice", "chicken-leg", "fried-prawn", "fried-egg", "coffee", "beer", "french-fries"),
    }
)
"""Never trained on: 16 foods that nearly all styles draw, of most kinds and origins."""
SIZES = {"train": (2000, 640, 640), "test_styles": (608, 504, 504), "test_dishes": (240, 120, 80)}
"""Questions on one picture, on four, on none."""


def main() -> None:
    args = _parser().parse_args()
    modules = install(args.npm)
    table, drawings = load_foods(), read_drawings(modules)
    plans = [_changed(plan, args) for plan in shipped_plans(table.foods)]
    plans = [plan for plan in plans if plan.styles]
    fresh = args.out.with_name(f".{args.out.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    asked: set[Asked] = set()
    for plan in plans:
        asked |= make_set(replace(plan, avoid=frozenset(asked)), fresh / plan.name, table, drawings)
    write_facts(fresh / "foods.json", table, drawings)
    write_attribution(fresh / "ATTRIBUTION.md", modules, fresh)
    write_card(fresh / "README.md", fresh, table)
    shutil.rmtree(args.out, ignore_errors=True)
    fresh.replace(args.out)
    report(args.out)


def shipped_plans(foods: Sequence[Food]) -> list[SetPlan]:
    """The three sets as they ship."""
    known = {food.food_id for food in foods}
    assert known >= HELD_OUT_DISHES, f"no facts of {sorted(HELD_OUT_DISHES - known)}"
    trained = [food for food in foods if food.food_id not in HELD_OUT_DISHES]
    held_out = [food for food in foods if food.food_id in HELD_OUT_DISHES]
    return [
        SetPlan(name="train", foods=trained, styles=TRAINED_STYLES, sizes=SIZES["train"]),
        SetPlan(name="test_styles", foods=trained, styles=HELD_OUT_STYLES, sizes=SIZES["test_styles"], evenly=True),
        SetPlan(name="test_dishes", foods=held_out, styles=TRAINED_STYLES, sizes=SIZES["test_dishes"]),
    ]


def write_facts(path: Path, table: Foods, drawings: Mapping[tuple[str, str], Drawing]) -> None:
    """`foods.json`: names, facts in both languages, the styles that draw it, and the part it belongs to."""
    rows = [
        _facts_of(food, table, [style for style in STYLES if (style, food.code) in drawings]) for food in table.foods
    ]
    lines = ",\n".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows)
    path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def _facts_of(food: Food, table: Foods, styles: list[str]) -> dict[str, object]:
    facts = {}
    for name in FACT_NAMES:
        fact = food.fact(name)
        if fact is not None:
            word = table.word(name, fact.value)
            facts[name] = {"key": word.key, "zh": word.zh, "en": word.en, "also": sorted(fact.also)}
    return {
        "id": food.food_id,
        "name_zh": food.name_zh,
        "name_en": food.name_en,
        "aliases_zh": food.aliases_zh,
        "aliases_en": food.aliases_en,
        "near": sorted(food.near),
        "facts": facts,
        "part": "test_dishes" if food.food_id in HELD_OUT_DISHES else "train",
        "styles": styles,
        "source": food.source,
    }


def report(folder: Path) -> None:
    """Print what was made and what it weighs."""
    for part in sorted(path for path in folder.iterdir() if path.is_dir()):
        sizes = [path.stat().st_size for path in part.rglob("*.webp")]
        counts = {path.stem: len(json.loads(path.read_text(encoding="utf-8"))) for path in part.glob("*_tidy.json")}
        texts = sum(path.stat().st_size for path in part.glob("*.json")) / 2**20
        mean = sum(sizes) / len(sizes)
        print(f"{part.name}: {len(sizes)} pictures of {mean:.0f} bytes, the largest {max(sizes)};", end=" ")
        print(f"{counts}, {texts:.2f} MiB of text")
    print(f"{folder}: {sum(path.stat().st_size for path in folder.rglob('*') if path.is_file()) / 2**20:.2f} MiB")


def _changed(plan: SetPlan, args: argparse.Namespace) -> SetPlan:
    """The plan as the command line wants it; one without styles is left out."""
    sizes = tuple(
        given or usual for given, usual in zip((args.sivqa, args.mivqa, args.textqa), plan.sizes, strict=True)
    )
    plan = replace(plan, sizes=sizes, is_grey=args.grey)
    if args.style:
        plan = replace(plan, styles=[style for style in plan.styles if style in args.style])
    if args.scenes:
        plan = replace(plan, scenes=args.scenes, look=f"{args.seed}")
    return plan


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--npm", type=Path, default=Path("out/nano/npm"), help="where npm installs the packages")
    parser.add_argument("--scenes", type=int, default=0, help="new pictures of each food and style; 0: those that ship")
    parser.add_argument("--seed", type=int, default=1, help="which new scenes")
    parser.add_argument("--style", action="append", choices=STYLES, help="only this style; may be given again")
    parser.add_argument("--grey", action="store_true", help="all pictures grey")
    for task in ("sivqa", "mivqa", "textqa"):
        parser.add_argument(f"--{task}", type=int, default=0, help="questions in each set; 0: as many as ship")
    return parser


if __name__ == "__main__":
    main()
