"""The general set that ships: whole, small, asked of every ability, apart from what is replayed, and free of dishes."""

import hashlib
import json
import re
from collections import Counter, defaultdict
from functools import cache
from typing import Any

import pytest
from PIL import Image

from ivl.evals.boxes import read_boxes
from ivl.evals.own import general_sets
from ivl.zoo import foods_folder, general_folder

MIB = 2**20
ABILITIES = ("counting", "colour", "position", "grounding", "refusal", "kind", "ocr")
SAID = {"en": r"[A-Za-z]", "zh": r"[\u4e00-\u9fff]"}
PACKAGES = {
    "noto": "Apache 2.0",
    "noto-v1": "Apache 2.0",
    "twemoji": "CC BY 4.0",
    "fluent-emoji": "MIT",
    "fluent-emoji-flat": "MIT",
    "fluent-emoji-high-contrast": "MIT",
    "emojione": "CC BY 4.0",
    "emojione-monotone": "CC BY 4.0",
    "streamline-emojis": "CC BY 4.0",
}


@cache
def lines(name: str) -> list[dict[str, Any]]:
    text = (general_folder() / f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


@cache
def dish_names() -> frozenset[str]:
    """Of all foods of the food set, in both languages."""
    rows = json.loads((foods_folder() / "foods.json").read_text(encoding="utf-8"))
    fields = ("name_en", "aliases_en", "name_zh", "aliases_zh")
    names = [name for row in rows for field in fields for name in ([row[field]] if "name" in field else row[field])]
    return frozenset(name.casefold() for name in names)


def turns(line: dict[str, Any]) -> list[tuple[str, str]]:
    said = [turn["value"].replace("<image>", "").strip() for turn in line["conversations"]]
    return list(zip(said[::2], said[1::2], strict=True))


def names_in(text: str) -> set[str]:
    """Dishes that a text is about: its name, what it says there is, what it asks for."""
    bare = text.casefold().strip("。.?？ ")
    parts = re.split(r"<ref>|</ref>|, |、|。|\. ", bare)
    for start in ("this is ", "these are ", "there is no ", "这是", "图中没有"):
        parts += [part.removeprefix(start).removesuffix(" in the picture") for part in parts if part.startswith(start)]
    return {re.sub(r"^(?:an?|some|the) ", "", part) for part in parts} & dish_names()


def test_it_is_small_and_holds_data_only() -> None:
    files = [path for path in general_folder().rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".webp", ".jsonl", ".json", ".md"}
    assert sum(path.stat().st_size for path in files) <= 2 * MIB
    assert {path.parent.name for path in files if path.suffix == ".webp"} == {"test", "train"}


def test_every_ability_has_its_questions_and_its_set() -> None:
    counts = Counter(line["tags"]["ability"] for line in lines("test"))
    assert set(counts) == set(ABILITIES)
    assert min(counts.values()) >= 60
    sets = {each.name: each for each in general_sets(general_folder())}
    assert set(sets) == {f"general-{ability}" for ability in ABILITIES}
    assert {name.removeprefix("general-"): len(each.items) for name, each in sets.items()} == counts
    assert not [each.faults for each in sets.values() if each.faults]


def test_each_picture_is_asked_once_for_an_ability() -> None:
    asked = Counter((line["image"], line["tags"]["ability"]) for line in lines("test"))
    assert set(asked.values()) == {1}
    assert 65 <= len({image for image, _ in asked}) <= 80
    assert len({line["id"] for line in lines("test")}) == len(lines("test"))


def test_questions_are_in_their_language() -> None:
    languages: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for line in lines("test"):
        languages[line["tags"]["ability"]][line["tags"]["language"]] += 1
        if line["tags"]["ability"] != "ocr":
            assert re.search(SAID[line["tags"]["language"]], re.sub(r"<[^>]*>|[A-D]\.", "", line["question"])), line
        assert "{" not in line["question"]
    assert all(min(found["en"], found["zh"]) >= 15 for found in languages.values()), languages


def test_answers_fit_their_abilities() -> None:
    answers: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for line in lines("test"):
        ability = line["tags"]["ability"]
        if ability == "grounding":
            assert line["metric"] == "iou"
            assert read_boxes(json.dumps(line["answer"]))
        else:
            assert line["metric"] == "exact"
            answers[ability].update(line["answer"][:1])
    assert all(answer.isdigit() for answer in answers["counting"])
    assert len(answers["counting"]) >= 5
    assert max(answers["counting"].values()) < 0.4 * answers["counting"].total()
    assert all(re.match(r"There (?:is|are) no |图中没有", answer) for answer in answers["refusal"])
    assert len(answers["colour"]) >= 10
    assert len(answers["position"]) >= 8
    assert max(answers["colour"].values()) < 0.3 * answers["colour"].total()


def test_pictures_can_be_read_and_show_something() -> None:
    for path in sorted((general_folder() / "pictures").rglob("*.webp")):
        with Image.open(path) as picture:
            assert (picture.format, picture.mode) == ("WEBP", "RGB"), path
            assert 224 <= min(picture.size) <= max(picture.size) <= 448
            assert len(picture.resize((24, 24)).getcolors(576) or ()) > 5, path


def test_replayed_pictures_are_other_ones() -> None:
    used = {"test": {line["image"] for line in lines("test")}, "train": set[str]()}
    for line in lines("train"):
        images = line["image"]
        used["train"].update([images] if isinstance(images, str) else images)
    there = {name: set((general_folder() / "pictures" / name).glob("*.webp")) for name in used}
    for name, images in used.items():
        assert {general_folder() / image for image in images} == there[name]
    hashes = {name: {hashlib.sha256(path.read_bytes()).digest() for path in paths} for name, paths in there.items()}
    assert not hashes["test"] & hashes["train"]
    assert len(hashes["test"]) == len(there["test"])
    assert len(hashes["train"]) == len(there["train"])


def test_conversations_to_replay() -> None:
    assert len(lines("train")) >= 220
    assert len({line["id"] for line in lines("train")}) == len(lines("train"))
    for line in lines("train"):
        assert [turn["from"] for turn in line["conversations"]] == ["human", "gpt"] * (len(line["conversations"]) // 2)
        images = [line["image"]] if isinstance(line["image"], str) else line["image"]
        marks = [turn["value"].count("<image>") for turn in line["conversations"]]
        assert marks == [len(images), *[0] * (len(marks) - 1)]
        assert all(question and answer for question, answer in turns(line))
    several = [line for line in lines("train") if len(line["conversations"]) > 2]
    assert len(several) > 0.6 * len(lines("train"))
    answers = Counter(answer for line in lines("train") for _, answer in turns(line))
    assert 0.5 < (answers["Yes"] + answers["有"]) / (answers["No"] + answers["没有"]) < 2


def test_foods_are_named_by_kind_only() -> None:
    """Names of dishes stand in documents alone."""
    for line in lines("test"):
        if line["tags"]["style"] == "trained" and line["tags"]["ability"] != "grounding":
            said = [line["question"], *line["answer"]]
            assert not [names_in(text) for text in said if names_in(text) - {"orange"}], line
    for line in lines("train"):
        if not line["id"].startswith("general-text"):
            found = [names_in(text) - {"orange"} for turn in turns(line) for text in turn]
            assert not any(found), line


@pytest.mark.parametrize(
    "text", ["This is some pizza.", "pizza", "图中没有寿司。", "<ref>pizza</ref><box>[[1, 2, 3, 4]]</box>"]
)
def test_a_dish_would_be_found(text: str) -> None:
    assert names_in(text)


def test_the_attribution_names_every_package_and_font() -> None:
    page = (general_folder() / "ATTRIBUTION.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `@iconify-json/([\w-]+)` \| [\d.]+ \|.*\[([\w. ]+)\]\(\S+\) \|$", page, re.MULTILINE))
    assert rows == PACKAGES
    assert page.count("OFL-1.1") >= 13
    assert "Permission is hereby granted" in page
    about = json.loads((general_folder() / "dataset.json").read_text(encoding="utf-8"))
    assert set(about) == {"name", "licence", "version"}


def test_the_card_tells_the_counts() -> None:
    card = (general_folder() / "README.md").read_text(encoding="utf-8")
    counts = Counter(line["tags"]["ability"] for line in lines("test"))
    for ability, number in counts.items():
        assert re.search(rf"^\| {ability} \| {number} \|", card, re.MULTILINE)
    assert f"| `test.jsonl` | {len(lines('test'))} |" in card
    assert f"| `train.jsonl` | {len(lines('train'))} |" in card
