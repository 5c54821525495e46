"""The food set that ships: whole, small, fair to who sees no picture, held apart, and what its facts say."""

import json
import re
import sys
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ivl.data.foodieqa import TASKS, licence_of, read_foodieqa
from ivl.zoo import foods_folder

sys.path.insert(0, str(Path(__file__).parents[2]))

from tools.foods.build import HELD_OUT_DISHES, shipped_plans
from tools.foods.facts import Foods, load_foods
from tools.foods.packages import PINS
from tools.foods.pictures import HELD_OUT_STYLES, STYLES, TRAINED_STYLES, ground
from tools.foods.quadruples import Chooser, are_apart, has_value
from tools.foods.questions import Shown
from tools.foods.scenes import questions_of
from tools.foods.wording import FOUR_PICTURES, NO_PICTURE, ONE_PICTURE

MIB = 2**20
PARTS = ("train", "test_styles", "test_dishes")
FEWEST = {"train": (1900, 600, 600), "test_styles": (600, 500, 500), "test_dishes": (200, 100, 60)}
LICENCES = {
    "noto": "Apache 2.0",
    "noto-v1": "Apache 2.0",
    "twemoji": "CC BY 4.0",
    "fluent-emoji": "MIT",
    "fluent-emoji-flat": "MIT",
    "emojione": "CC BY 4.0",
    "emojione-v1": "CC BY-SA 4.0",
    "openmoji": "CC BY-SA 4.0",
    "fxemoji": "Apache 2.0",
}
LANGUAGES = (("", r"[\u4e00-\u9fff]"), ("_en", "[A-Za-z]"))
"""What the fields of a language end with, and what each of its texts must hold."""
EACH = pytest.mark.parametrize("part", PARTS)
EACH_TASK = pytest.mark.parametrize("task", TASKS)


@cache
def entries(part: str, task: str) -> list[dict[str, Any]]:
    return json.loads((foods_folder() / part / f"{task}_tidy.json").read_text(encoding="utf-8"))


@cache
def pictures(part: str) -> dict[str, Path]:
    folder = foods_folder() / part
    return {path.relative_to(folder).as_posix(): path for path in (folder / "images").rglob("*") if path.is_file()}


@cache
def table() -> Foods:
    return load_foods()


def shown(entry: dict[str, Any]) -> list[str]:
    meta = entry.get("food_meta", {})
    return entry.get("images", [meta["food_file"]] if "food_file" in meta else [])


def texts(value: Any) -> list[str]:
    """All texts of an entry but paths and tags."""
    if isinstance(value, dict):
        return [t for key, each in value.items() if key not in {"tags", "images", "food_file"} for t in texts(each)]
    return [t for each in value for t in texts(each)] if isinstance(value, list) else [value]


def is_level(counts: Counter[str], num: int = 4) -> bool:
    return len(counts) == num and len(set(counts.values())) == 1


def test_it_is_small_and_holds_data_only() -> None:
    files = [path for path in foods_folder().rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".webp", ".json", ".md"}
    sizes = {path.name: path.stat().st_size for path in files}
    assert sum(path.stat().st_size for path in files) < 4.6 * MIB
    assert max(path.stat().st_size for path in files if path.suffix == ".webp") < 8_000, sizes


@EACH
def test_the_counts(part: str) -> None:
    for task, fewest in zip(TASKS, FEWEST[part], strict=True):
        assert len(entries(part, task)) >= fewest, task


@EACH
def test_every_picture_is_asked_about_and_none_is_missing(part: str) -> None:
    asked = {path for task in TASKS for entry in entries(part, task) for path in shown(entry)}
    assert asked <= set(pictures(part))
    assert len(asked) > 0.9 * len(pictures(part))


@EACH
def test_pictures_can_be_read(part: str) -> None:
    for name, path in list(pictures(part).items())[::7]:
        with Image.open(path) as picture:
            assert (picture.format, picture.size, picture.mode) == ("WEBP", (224, 224), "RGB"), name
            assert len(picture.resize((16, 16)).getcolors(256)) > 8, f"{name} shows nothing"


@EACH
@EACH_TASK
def test_every_entry_is_whole_in_both_languages(part: str, task: str) -> None:
    for entry in entries(part, task):
        assert entry["answer"] in {"0", "1", "2", "3"}
        assert entry["question_type"] in ONE_PICTURE
        assert len(shown(entry)) == {"sivqa": 1, "mivqa": 4, "textqa": 0}[task]
        assert set(entry["tags"]) == {"dish", "kind"} | ({"style"} if task != "textqa" else set())
        for end, script in LANGUAGES:
            said = [entry[f"question{end}"], *entry.get(f"food_names{end}", [])]
            if task != "mivqa":
                assert len(set(entry[f"choices{end}"])) == 4, entry
                said += [*entry[f"choices{end}"], entry["food_meta"][f"food_name{end}"]]
            assert all(re.search(script, text) and "{" not in text for text in said), entry
    ids = [entry["question_id"] for entry in entries(part, task)]
    assert len(set(ids)) == len(ids)


@EACH
@pytest.mark.parametrize("end", ["", "_en"])
def test_who_sees_no_picture_is_right_in_a_quarter(part: str, end: str) -> None:
    """With the same words and the same choices, each choice is right equally often, under all letters together."""
    groups: dict[Any, Counter[str]] = defaultdict(Counter)
    for entry in entries(part, "sivqa"):
        choices = entry[f"choices{end}"]
        groups[entry[f"question{end}"], frozenset(choices)][choices[int(entry["answer"])]] += 1
    assert all(is_level(counts) for counts in groups.values())


@EACH
@pytest.mark.parametrize("end", ["", "_en"])
def test_who_is_not_told_the_food_is_right_in_a_quarter(part: str, end: str) -> None:
    groups: dict[Any, Counter[str]] = defaultdict(Counter)
    for entry in entries(part, "textqa"):
        name, choices = entry["food_meta"][f"food_name{end}"], entry[f"choices{end}"]
        asked = entry[f"question{end}"].replace(name, "it", 1)
        groups[asked, frozenset(choices)][choices[int(entry["answer"])]] += 1
    assert all(is_level(counts) for counts in groups.values())


@EACH
def test_four_pictures_tell_nothing_without_the_question(part: str) -> None:
    groups: dict[Any, Counter[str]] = defaultdict(Counter)
    letters: dict[str, Counter[str]] = defaultdict(Counter)
    for entry in entries(part, "mivqa"):
        groups[frozenset(entry["images"])][entry["images"][int(entry["answer"])]] += 1
        letters[entry["question"]][entry["answer"]] += 1
    assert all(is_level(counts) for counts in groups.values())
    for question, counts in letters.items():
        assert max(counts.values()) - min(counts[letter] for letter in "0123") <= 2, question


@EACH
@EACH_TASK
def test_the_right_letter_is_level(part: str, task: str) -> None:
    assert is_level(Counter(entry["answer"] for entry in entries(part, task)))


@EACH
@EACH_TASK
def test_what_is_right_is_what_the_facts_say_and_nothing_else_is(part: str, task: str) -> None:
    names = {food.name_zh: food for food in table().foods}
    for entry in entries(part, task):
        food, topic, right = table()[entry["tags"]["dish"]], entry["question_type"], int(entry["answer"])
        if task == "mivqa" or topic == "name":
            offered = [names[name] for name in entry.get("food_names", entry["choices"])]
            assert offered[right] is food
            assert all(are_apart(food, other, topic) for other in offered if other is not food), entry
            continue
        fact = food.fact(topic)
        keys = [key for text in entry["choices_en"] for key, word in words(topic).items() if word.en == text]
        assert fact is not None
        assert keys[right] == fact.value
        assert not fact.defensible & (set(keys) - {fact.value}), entry


def words(topic: Any) -> Any:
    return table().vocabularies[topic].words


def test_no_held_out_style_is_in_training() -> None:
    for part, styles in (("train", TRAINED_STYLES), ("test_dishes", TRAINED_STYLES), ("test_styles", HELD_OUT_STYLES)):
        assert {name.split("/")[1] for name in pictures(part)} == set(styles)
        assert {entry["tags"]["style"] for entry in entries(part, "sivqa")} == set(styles)


def test_no_held_out_food_is_shown_or_named_in_training() -> None:
    said = {text for task in TASKS for entry in entries("train", task) for text in texts(entry)}
    dishes = {entry["tags"]["dish"] for task in TASKS for entry in entries("train", task)}
    assert not dishes & HELD_OUT_DISHES
    assert not {Path(name).stem for name in pictures("train")} & HELD_OUT_DISHES
    for food_id in HELD_OUT_DISHES:
        assert not said & {*table()[food_id].names("zh"), *table()[food_id].names("en")}
    tested = {entry["tags"]["dish"] for entry in entries("test_dishes", "sivqa")}
    assert tested == HELD_OUT_DISHES
    assert {entry["tags"]["dish"] for entry in entries("test_styles", "sivqa")} <= dishes


def test_styles_are_tested_equally() -> None:
    counts = Counter(entry["tags"]["style"] for entry in entries("test_styles", "sivqa"))
    assert max(counts.values()) - min(counts.values()) <= 4


def test_few_questions_without_a_picture_are_asked_in_the_words_of_training() -> None:
    trained = {entry["question"] for entry in entries("train", "textqa")}
    same = [entry["question"] for entry in entries("test_styles", "textqa") if entry["question"] in trained]
    assert len(same) < 0.02 * len(entries("test_styles", "textqa")), same


@EACH
def test_the_package_reads_it(part: str) -> None:
    folder = foods_folder() / part
    for language in ("zh", "en"):
        read = read_foodieqa(folder, language, TASKS)
        assert not read.faults + read.missing
        assert len(read.questions) == sum(len(entries(part, task)) for task in TASKS)
    assert licence_of(folder).startswith(f"ivl foods, {part} is licensed per picture")


@EACH
def test_its_questions_are_those_that_the_tools_write_from_the_facts(part: str) -> None:
    asked = set()
    for plan in shipped_plans(table().foods):
        files: dict[tuple[str, str], list[str]] = {}
        for name in sorted(pictures(plan.name)):
            files.setdefault((name.split("/")[1], Path(name).stem), []).append(name)
        written = questions_of(plan, table(), Shown(files=files), frozenset(asked))
        asked |= written.asked
        if plan.name == part:
            for task in TASKS:
                assert written.entries[task] == entries(part, task), f"{task}: run python -m tools.foods.build"


def test_the_facts_that_ship_are_the_facts() -> None:
    rows = json.loads((foods_folder() / "foods.json").read_text(encoding="utf-8"))
    assert {row["id"] for row in rows} == {food.food_id for food in table().foods}
    for row in rows:
        food = table()[row["id"]]
        assert (row["name_zh"], row["name_en"]) == (food.name_zh, food.name_en)
        assert {name: fact["key"] for name, fact in row["facts"].items()} == {
            name: food.fact(name).value for name in NO_PICTURE if has_value(food, name)
        }
        assert (row["part"] == "test_dishes") == (row["id"] in HELD_OUT_DISHES)
        assert row["styles"]


def test_every_style_is_credited_with_its_licence_and_version() -> None:
    page = (foods_folder() / "ATTRIBUTION.md").read_text(encoding="utf-8")
    rows = {re.split(r"[|,]", line)[1].strip(): line for line in page.splitlines() if line.startswith("| ")}
    assert set(LICENCES) == set(STYLES)
    for style, licence in LICENCES.items():
        assert f"[{licence}](" in rows[style]
        assert f"| `@iconify-json/{style}` | {PINS[f'@iconify-json/{style}']} |" in rows[style]
        assert "(0)" not in rows[style]
    assert "Changes" in page
    assert "Copyright (c) Microsoft Corporation" in page


def test_the_card_counts_what_is_there() -> None:
    card = (foods_folder() / "README.md").read_text(encoding="utf-8")
    for part in PARTS:
        counts = [len(pictures(part)), *(len(entries(part, task)) for task in TASKS)]
        row = next(line for line in card.splitlines() if line.startswith(f"| `{part}`"))
        assert [int(cell.replace(",", "")) for cell in row.split("|")[5:9]] == counts


def test_templates_have_their_places() -> None:
    for topic, templates in ONE_PICTURE.items():
        assert len(templates) == len({template.zh for template in templates}) >= 3, topic
        assert all("{noun}" in each.zh and "{noun}" in each.en and "{x}" not in each.zh for each in templates)
    for group in (FOUR_PICTURES, NO_PICTURE):
        assert all("{x}" in each.zh and "{x}" in each.en for templates in group.values() for each in templates)


def test_the_chooser_finds_nothing_where_there_are_no_four() -> None:
    fruit = [food for food in table().foods if food.kind.value == "fruit"]
    assert Chooser(table(), "seed").choose("kind", fruit) is None
    chosen = Chooser(table(), "seed").choose("kind", table().foods)
    assert chosen is not None
    assert len({food.kind.value for food in chosen}) == 4


def test_grounds_follow_from_their_seed() -> None:
    import random

    first, again, other = (ground(random.Random(seed)).tobytes() for seed in (1, 1, 2))
    assert first == again
    assert first != other
