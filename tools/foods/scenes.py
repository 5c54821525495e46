"""Makes one set of the food set: a folder in FoodieQA's layout, with its pictures and questions.

In: foods, styles, how many pictures of each food and style, how many questions. Out: `images/`, the three files of
questions, `dataset.json`. The same arguments write the same bytes.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.foods.food import Food, Foods
from tools.foods.pictures import Drawing, as_webp, draw, grey
from tools.foods.quadruples import NUM_CHOICES, Topic, has_value
from tools.foods.questions import Asked, Entry, Shown, Writer

VERSION = "1.0.0"
LICENCE = "per picture, Apache-2.0, MIT, CC BY 4.0 or CC BY-SA 4.0 (see ATTRIBUTION.md); its questions Apache-2.0"
SHARES: Mapping[Topic, float] = {
    "name": 0.24,
    "origin": 0.2,
    "main_ingredient": 0.16,
    "kind": 0.12,
    "taste": 0.1,
    "serving": 0.1,
    "occasion": 0.08,
}
"""Of the questions of a set; textqa has none about names, and the others more."""


@dataclass(frozen=True, kw_only=True)
class SetPlan:
    """What a set is made of."""

    name: str
    """Its folder, and with `look` the seed of all that is drawn by lot."""
    foods: Sequence[Food]
    styles: Sequence[str]
    sizes: tuple[int, int, int]
    """Questions on one picture, on four, on none; met to whole quadruples, and as far as there are any."""
    scenes: int = 1
    """Pictures of each food in each style."""
    evenly: bool = False
    """Ask about all styles equally often."""
    look: str = ""
    """Other pictures and questions than those that ship, by any other name."""
    avoid: frozenset[Asked] = frozenset()
    is_grey: bool = False
    """All pictures are grey: the blind test."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """The questions of a set."""

    entries: Mapping[str, Sequence[Entry]]
    """By task: sivqa, mivqa, textqa."""
    asked: frozenset[Asked]
    """Its questions without a picture."""


def make_set(
    plan: SetPlan, folder: Path, table: Foods, drawings: Mapping[tuple[str, str], Drawing]
) -> frozenset[Asked]:
    """Write the set's folder; the questions without pictures that it asks."""
    written = questions_of(plan, table, _paint(plan, folder, drawings), plan.avoid)
    for task, entries in written.entries.items():
        _write_entries(folder / f"{task}_tidy.json", entries)
    card = {"name": f"ivl foods, {plan.name}", "licence": LICENCE, "version": VERSION}
    (folder / "dataset.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    return written.asked


def questions_of(plan: SetPlan, table: Foods, shown: Shown, avoid: frozenset[Asked]) -> Written:
    """The plan's questions about pictures that are there."""
    name = plan.name + plan.look
    writer = Writer(table=table, foods=plan.foods, shown=shown, name=name, avoid=avoid, evenly=plan.evenly)
    one, four, none = (quadruples(size, plan.foods, spoken=place == 2) for place, size in enumerate(plan.sizes))
    entries = {
        "sivqa": writer.one_picture(one),
        "mivqa": writer.four_pictures(four),
        "textqa": writer.no_picture(none),
    }
    return Written(entries=entries, asked=frozenset(writer.asked))


def quadruples(size: int, foods: Sequence[Food], *, spoken: bool) -> dict[Topic, int]:
    """How many quadruples of each topic make about `size` questions; topics of which too few foods have a value: 0."""
    shares = {topic: share for topic, share in SHARES.items() if not (spoken and topic == "name")}
    shares = {t: s for t, s in shares.items() if sum(has_value(food, t) for food in foods) >= NUM_CHOICES}
    total = sum(shares.values())
    return {topic: round(size / NUM_CHOICES * share / total) for topic, share in shares.items()}


def _paint(plan: SetPlan, folder: Path, drawings: Mapping[tuple[str, str], Drawing]) -> Shown:
    files: dict[tuple[str, str], list[str]] = {}
    blind = grey() if plan.is_grey else None
    for style in plan.styles:
        for food in plan.foods:
            drawing = drawings.get((style, food.code))
            for scene in range(plan.scenes if drawing else 0):
                name = f"{food.food_id}-{scene}" if plan.scenes > 1 else food.food_id
                path = folder / "images" / style / f"{name}.webp"
                path.parent.mkdir(parents=True, exist_ok=True)
                assert drawing is not None
                path.write_bytes(blind or as_webp(draw(drawing, f"{plan.name}{plan.look} {style} {name}")))
                files.setdefault((style, food.food_id), []).append(path.relative_to(folder).as_posix())
    return Shown(files=files)


def _write_entries(path: Path, entries: Sequence[Entry]) -> None:
    """One entry a line: small, and readable in a diff."""
    lines = (json.dumps(entry, ensure_ascii=False, separators=(",", ":")) for entry in entries)
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")
