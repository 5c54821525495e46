"""Makes all that is trained on and tested on: new scenes of foods, training data in two manners, general sets, replay.

In: the packs of artwork and fonts, the package's food set. Out: OUT/sets and OUT/training, through the commands that a
user has. What is there already is kept.
"""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.foods.build import HELD_OUT_DISHES
from tools.foods.facts import load_foods
from tools.foods.food import Food, Foods
from tools.foods.new_scenes import Studio, asked_in_training, grey_copy, make_scene_set
from tools.foods.pictures import HELD_OUT_STYLES, TRAINED_STYLES
from tools.foods.scenes import SetPlan

from food_story.processes import PYTHON, Command, num_cores, run_all
from ivl.zoo import foods_folder

REPLAY_FILES = ("scenes.jsonl", "large.jsonl", "documents.jsonl", "several.jsonl", "words.jsonl")
TASKS = "sivqa,mivqa,textqa"
STYLES = {"full": "full", "terse": "tutorial"}
"""Our word for a manner of answering -> that of `ivl data foodieqa`."""
_PER_FOOD = 4
"""Questions on four pictures: one for so many pictures."""


@dataclass(frozen=True, kw_only=True)
class Amounts:
    """How much of everything."""

    number: int = 528
    """Questions on one picture in a set; a little less on four and on none."""
    grey: int = 2000
    """Questions of the blind test, in each language."""
    scenes: tuple[int, int] = (2, 8)
    """Test pictures of each food and style: trained, held out."""
    more: int = 4
    """New training pictures of each food and trained style, beside those that ship."""
    general: int = 510
    """Test questions of each ability and group of styles."""
    parts: int = 6
    """Processes that make the general sets."""
    replay: tuple[int, int, int, int, int] = (14_000, 1_600, 4_000, 2_500, 600)
    """Scenes, large ones, documents, samples of several pictures, samples of words."""


TOY = Amounts(number=16, grey=16, scenes=(1, 1), more=1, general=2, parts=1, replay=(12, 4, 4, 4, 4))


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where things lie."""

    out: Path
    pack: Path
    fonts: Path
    replay: Path | None = None
    """General data that is there already."""

    @property
    def sets(self) -> Path:
        return self.out / "sets"

    @property
    def training(self) -> Path:
        return self.out / "training"

    @property
    def replay_data(self) -> Path:
        return self.replay or self.training / "replay"

    def log(self, name: str) -> Path:
        return self.out / "logs" / f"{name}.txt"


def make_data(places: Places, amounts: Amounts, device: str) -> dict[str, float]:
    """All sets and all training data; seconds of the commands. General sets and replay are made while foods are."""
    began = time.monotonic()
    make_foods(places, amounts, device)
    seconds = {"foods": round(time.monotonic() - began, 1)}
    commands = [*_general_commands(places, amounts, device), *_conversions(places)]
    if not (places.replay_data / REPLAY_FILES[0]).is_file():
        commands.insert(0, _replay_command(places, amounts, device))
    seconds |= run_all(commands, at_once=max(2, num_cores() // 2))
    _gather_general(places, amounts.parts)
    return seconds


def make_foods(places: Places, amounts: Amounts, device: str) -> None:
    """The test sets `trained`, `heldout` and `grey`, and the training set `more`."""
    if (places.training / "more_grey" / "dataset.json").is_file():
        return
    table = load_foods()
    foods = [food for food in table.foods if food.food_id not in HELD_OUT_DISHES]
    studio = Studio(places.pack, device)
    for plan in _test_plans(foods, table, amounts):
        make_scene_set(plan, places.sets / plan.name, table, studio)
    more = training_plan(studio, foods, amounts.more)
    make_scene_set(more, places.training / "more", table, studio, strong=True)
    for name, source in (("shipped", foods_folder() / "train"), ("more", places.training / "more")):
        grey_copy(source, places.training / f"{name}_grey")


def training_plan(studio: Studio, foods: Sequence[Food], more: int) -> SetPlan:
    """New pictures for training, in every style that training may show: as many questions as pictures."""
    number = more * sum(studio.draws(style, food) for style in studio.trained_styles for food in foods)
    sizes = (number, number // _PER_FOOD, 0)
    return SetPlan(name="more", look=" 2", foods=foods, styles=studio.trained_styles, sizes=sizes, scenes=more)


def _test_plans(foods: Sequence[Food], table: Foods, amounts: Amounts) -> Iterator[SetPlan]:
    number, fewer, avoid = amounts.number, round(amounts.number * 0.97), asked_in_training(table)
    trained, held_out = amounts.scenes
    yield SetPlan(
        name="trained", look=" 1", foods=foods, styles=TRAINED_STYLES, sizes=(number, fewer, fewer), scenes=trained,
        evenly=True, avoid=avoid,
    )  # fmt: skip
    yield SetPlan(
        name="heldout", look=" 1", foods=foods, styles=HELD_OUT_STYLES, sizes=(number, fewer, 0), scenes=held_out,
        evenly=True,
    )  # fmt: skip
    yield SetPlan(
        name="grey", look=" 1", foods=foods, styles=TRAINED_STYLES, sizes=(amounts.grey, 0, 0), evenly=True,
        is_grey=True,
    )  # fmt: skip


def food_sources(places: Places, manner: str) -> list[tuple[Path, Path]]:
    """(records, folder of their pictures) of the food data in one manner: full, terse or grey."""
    folders = {"shipped": foods_folder() / "train", "more": places.training / "more"}
    if manner == "grey":
        folders = {name: places.training / f"{name}_grey" for name in folders}
    return [(places.training / manner / name / "train.json", folder.resolve()) for name, folder in folders.items()]


def _conversions(places: Places) -> Iterator[Command]:
    """`ivl data foodieqa` for each manner and folder."""
    for manner in ("full", "terse", "grey"):
        for records, folder in food_sources(places, manner):
            if not records.is_file():
                words = [PYTHON, "-m", "ivl", "data", "foodieqa", str(folder), "-o", str(records.parent), "--tasks"]
                words += [_tasks_of(folder), "--style", STYLES.get(manner, "full"), "--form", "both", "--naming"]
                words += ["--language", "both", "--test-share", "0"]
                name = f"data-{manner}-{records.parent.name}"
                yield Command(name=name, words=words, log=places.log(name))


def _tasks_of(folder: Path) -> str:
    return ",".join(task for task in TASKS.split(",") if (folder / f"{task}_tidy.json").is_file())


def _replay_command(places: Places, amounts: Amounts, device: str) -> Command:
    words = [PYTHON, "-m", "tools.nano.generate", "--pack", str(places.pack), "--fonts", str(places.fonts)]
    words += ["--out", str(places.replay_data), "--seed", "77", "--device", device]
    words += ["--workers", str(max(1, num_cores() // 2))]
    for name, number in zip(("scenes", "large", "documents", "pairs", "words"), amounts.replay, strict=True):
        words += [f"--{name}", str(number)]
    return Command(name="replay", words=words, log=places.log("replay"))


def _general_commands(places: Places, amounts: Amounts, device: str) -> Iterator[Command]:
    """The general sets in parts, each of another seed."""
    for part in range(amounts.parts):
        folder = places.sets / "general" / f"part-{part}"
        if not (folder / "general.jsonl").is_file():
            words = [PYTHON, "-m", "tools.nano.test_sets", "--pack", str(places.pack), "--fonts", str(places.fonts)]
            words += ["--out", str(folder), "--number", str(-(-amounts.general // amounts.parts))]
            words += ["--seed", str(1001 + part), "--device", device]
            yield Command(name=f"general-{part}", words=words, log=places.log(f"general-{part}"))


def _gather_general(places: Places, parts: int) -> None:
    """OUT/sets/general/test.jsonl of all parts, in the layout of the package's own general set."""
    rows = []
    for part in range(parts):
        text = (places.sets / "general" / f"part-{part}" / "general.jsonl").read_text("utf-8")
        for line in text.splitlines():
            row = json.loads(line)
            rows.append(row | {"id": f"{part}-{row['id']}", "image": f"part-{part}/{row['image']}"})
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (places.sets / "general" / "test.jsonl").write_text("".join(lines), "utf-8")
