"""What is asked about a scene, and the one right answer, in English and Chinese.

In: `Scene` facts (what is where, how many, the background). Out: question and answer text. Knows no pixels, no tokens.
Answers are short and exact: a thing is answered by its name alone, a number by digits, so that they can be checked by
comparing strings.
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tools.seedling.vocabulary import Thing, plural

COLOURS = {
    "white": "白色", "black": "黑色", "gray": "灰色", "red": "红色", "orange": "橙色", "yellow": "黄色",
    "green": "绿色", "blue": "蓝色", "purple": "紫色", "pink": "粉色", "brown": "棕色",
}  # fmt: skip
PLACES = {
    "top left": "左上", "top": "上方", "top right": "右上", "left": "左边", "center": "中间", "right": "右边",
    "bottom left": "左下", "bottom": "下方", "bottom right": "右下",
}  # fmt: skip
MARGIN = 0.045
"""A place is asked for only when the thing's centre is this far (share of the side) from the lines between thirds."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """One thing in a scene."""

    thing: int
    x: float
    """Of the centre, as a share of the picture's width."""
    y: float
    colour: str | None = None
    """Its one dominant colour; None: not one."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What there is to ask about."""

    items: tuple[Item, ...]
    background: str | None
    """Colour name; None where it has no single colour."""

    def counts(self) -> Counter[int]:
        return Counter(item.thing for item in self.items)


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A question with its answer."""

    question: str
    answer: str


Maker = Callable[["Asker", Scene, random.Random, str], "Exchange | None"]


class Asker:
    """Makes questions about scenes of the given things."""

    def __init__(self, things: Sequence[Thing]) -> None:
        self.things = things
        self.by_subgroup: dict[int, list[int]] = {}
        self.by_group: dict[int, list[int]] = {}
        for idx, thing in enumerate(things):
            self.by_subgroup.setdefault(thing.subgroup, []).append(idx)
            self.by_group.setdefault(thing.group, []).append(idx)
        self.foods = [idx for idx, thing in enumerate(things) if thing.is_food]

    def absent(self, scene: Scene, rng: random.Random) -> int:
        """A thing that is not in the scene: often one like a thing that is."""
        present = scene.counts()
        near = rng.choice(scene.items).thing
        pools = (self.by_subgroup[self.things[near].subgroup], self.by_group[self.things[near].group], self.foods)
        for _ in range(20):
            pool = rng.choices(pools, weights=(5, 3, 2))[0]
            thing = rng.choice(pool)
            if thing not in present:
                return thing
        return next(idx for idx in rng.sample(range(len(self.things)), 20) if idx not in present)

    def ask(self, kind: str, scene: Scene, rng: random.Random, language: str) -> Exchange | None:
        """A question of one kind; None where the scene does not allow it."""
        return MAKERS[kind](self, scene, rng, language)


def place_of(item: Item) -> str | None:
    """Which ninth of the picture holds the item's centre; None near a line between them."""
    parts = []
    for value, words in ((item.y, ("top", "", "bottom")), (item.x, ("left", "", "right"))):
        if any(abs(value - line) < MARGIN for line in (1 / 3, 2 / 3)):
            return None
        parts.append(words[min(2, int(value * 3))])
    return " ".join(part for part in parts if part) or "center"


def article(name: str) -> str:
    """The name with "a" or "an" where it is a singular noun of letters."""
    if plural(name) == name or not name[0].isalpha():
        return name
    return ("an " if name[0].lower() in "aeiou" else "a ") + name


TEMPLATES: dict[str, dict[str, tuple[str, ...]]] = {
    "name": {
        "en": (
            "What is this?", "What is this?", "What is in the picture?", "What is in this picture?",
            "What's this?", "What can you see?", "What is shown here?", "Name this.", "What do you see in this image?",
            "What is in the image?", "What is the name of this?", "What object is this?", "What is in this image?",
            "Please answer in English: what is this?", "What thing is this?", "What does the picture show?",
        ),
        "zh": (
            "这是什么？", "这是什么？", "图里是什么？", "图中是什么？", "图片里是什么？", "图片中是什么？", "这是什么东西？",
            "图中有什么？", "图里有什么？", "请用中文回答：这是什么？", "请用中文回答，这是什么？", "请说出它的名字。",
            "它叫什么？", "这张图片里有什么？", "图片里有什么？", "图上是什么？",
        ),
    },
    "food": {
        "en": (
            "What food is this?", "What food is this?", "What food is in the picture?", "Which food is this?",
            "What food is shown?", "What food is in this picture?", "What food or drink is this?", "Name the food.",
            "What is the name of this food?", "What kind of food is this?", "What food do you see?",
            "What dish is this?", "What food is in the image?", "Name this food.", "Which food is in the picture?",
        ),
        "zh": (
            "这是什么食物？", "这是什么食物？", "图里是什么食物？", "图中是什么食物？", "这是哪种食物？", "图片里是什么食物？",
            "请用中文回答：这是什么食物？", "图里的食物叫什么？", "这是什么吃的？", "这种食物叫什么？", "图中的食物是什么？",
            "图中有什么食物？", "这是什么食品？", "这道食物是什么？", "请说出这种食物的名字。",
        ),
    },
    "total": {
        "en": (
            "How many things are there?", "How many objects are in the picture?", "How many things can you see?",
            "How many things are in the picture?", "Count the things.", "How many objects are there?",
            "How many items are in the image?", "How many things are there in total?",
        ),
        "zh": (
            "图里有几个东西？", "一共有几个东西？", "图中有多少个东西？", "图中一共有几样东西？", "图里共有多少个物体？",
            "图片里有几个物体？", "数一数有几个东西。", "有几个东西？",
        ),
    },
    "count": {
        "en": (
            "How many {s} are there?", "How many {s} are there?", "How many {s} are in the picture?", "How many {s} can you see?",
            "How many {s} are there in the picture?", "Count the {s}.", "How many {s} do you see?",
            "How many {s} are in the image?", "How many {s} are there in this image?", "How many {s} are shown?",
        ),
        "zh": (
            "有几个{n}？", "图里有几个{n}？", "图中有几个{n}？", "图里有多少个{n}？", "图中有多少个{n}？", "数一数有几个{n}。",
            "图片里有几个{n}？", "图片中有多少个{n}？", "这里有几个{n}？", "一共有几个{n}？",
        ),
    },
    "exists": {
        "en": (
            "Is there {a} in the picture?", "Is there {a} in the picture?", "Is there {a}?", "Is there {a} in this image?",
            "Does the picture show {a}?", "Can you see {a}?", "Is there {a} here?", "Do you see {a}?",
            "Is there {a} in the image?", "Does this picture contain {a}?", "Is there any {n}?", "Are there any {s}?",
            "Are there any {s} in the picture?", "Is {a} in the picture?",
        ),
        "zh": (
            "图中有{n}吗？", "图中有{n}吗？", "图里有{n}吗？", "有{n}吗？", "图片里有{n}吗？", "图片中有{n}吗？", "图中有没有{n}？",
            "图里有没有{n}？", "这张图里有{n}吗？", "你能看到{n}吗？", "这张图片中有{n}吗？", "有没有{n}？",
        ),
    },
    "is": {
        "en": ("Is this {a}?", "Is it {a}?", "Is the thing in the picture {a}?", "Is that {a}?"),
        "zh": ("这是{n}吗？", "图里的是{n}吗？", "这是不是{n}？", "图中的东西是{n}吗？"),
    },
    "background": {
        "en": (
            "What color is the background?", "What colour is the background?", "What is the background color?",
            "Which color is the background?", "What is the color of the background?",
        ),
        "zh": ("背景是什么颜色？", "背景是什么颜色的？", "图片的背景是什么颜色？", "背景的颜色是什么？", "背景色是什么？"),
    },
    "colour": {
        "en": ("What color is the {n}?", "What colour is the {n}?", "Which color is the {n}?", "What is the color of the {n}?"),
        "zh": ("{n}是什么颜色？", "{n}是什么颜色的？", "图中的{n}是什么颜色？", "图里的{n}是什么颜色的？"),
    },
    "where": {
        "en": ("Where is the {n}?", "Where is the {n} in the picture?", "In which part of the picture is the {n}?", "Where can you see the {n}?"),
        "zh": ("{n}在哪里？", "{n}在图的什么位置？", "{n}在哪儿？", "{n}在图片的哪个位置？"),
    },
    "at": {
        "en": ("What is at the {p}?", "What is on the {p}?", "What is in the {p}?", "What thing is at the {p} of the picture?"),
        "zh": ("{p}是什么？", "图的{p}是什么？", "{p}有什么？", "图片的{p}有什么？"),
    },
    "all": {
        "en": (
            "What things are in the picture?", "Name all the things.", "List everything in the picture.", "Name all things in the picture.",
            "What are the things in the picture?", "List all objects in the image.", "What are these?", "Name everything you see.",
            "What is in the picture?", "What is in this image?", "What can you see?", "What is in the image?",
        ),
        "zh": (
            "图里有哪些东西？", "图中有哪些东西？", "请列出图中的所有东西。", "图片里都有什么？", "说出图里所有的东西。", "这些是什么？",
            "图中都有什么？", "请说出你看到的所有东西。", "图中有什么？", "图里有什么？", "图片里有什么？",
        ),
    },
    "describe": {
        "en": (
            "Describe this image.", "Describe the picture.", "describe this image", "Please describe the image.", "Describe this picture.",
            "What does this picture look like?", "Please describe the picture in detail.", "Describe the image in detail.",
            "Please describe the image shortly.", "Describe what you see.",
        ),
        "zh": (
            "请描述这张图片。", "描述这张图。", "描述一下这张图片。", "请描述图片。", "请详细描述这张图片。", "请描述一下图里的内容。",
            "描述图片内容。", "请简单描述这张图片。",
        ),
    },
}  # fmt: skip


def _say(kind: str, language: str, rng: random.Random, thing: Thing | None = None, place: str = "") -> str:
    template = rng.choice(TEMPLATES[kind][language])
    if thing is None:
        return template.replace("{p}", place if language == "en" else PLACES.get(place, ""))
    name = thing.name(language)
    text = template.replace("{n}", name)
    if language == "en":
        text = text.replace("{s}", plural(name)).replace("{a}", article(name))
    return text


def _name(asker: Asker, scene: Scene, rng: random.Random, language: str) -> Exchange | None:
    if len(scene.counts()) != 1:
        return None
    thing = asker.things[scene.items[0].thing]
    kind = "food" if thing.is_food and rng.random() < 0.5 else "name"
    return Exchange(question=_say(kind, language, rng), answer=thing.name(language))


def _total(asker: Asker, scene: Scene, rng: random.Random, language: str) -> Exchange | None:
    return Exchange(question=_say("total", language, rng), answer=str(len(scene.items)))


def _count(asker: Asker, scene: Scene, rng: random.Random, language: str) -> Exchange | None:
    counts = scene.counts()
    if rng.random() < 0.06:
        thing = asker.absent(scene, rng)
    else:
        # The most frequent kind more often: else nearly every answer would be 1.
        kinds = list(counts)
        thing = rng.choices(kinds, weights=[counts[kind] ** 1.5 for kind in kinds])[0]
    return Exchange(question=_say("count", language, rng, asker.things[thing]), answer=str(counts[thing]))


def _exists(asker: Asker, scene: Scene, rng: random.Random, language: str) -> Exchange | None:
    yes = rng.random() < 0.5
    thing = rng.choice(list(scene.counts())) if yes else asker.absent(scene, rng)
    answer = ("Yes" if yes else "No") if language == "en" else ("有" if yes else "没有")
    return Exchange(question=_say("exists", language, rng, asker.things[thing]), answer=answer)


def _is(asker: Asker, scene: Scene, rng: random.Random, language: str) -> Exchange | None:
    if len(scene.items) != 1:
        return None
    yes = rng.random() < 0.5
    thing = scene.items[0].thing if yes else asker.absent(scene, rng)
    answer = ("Yes" if yes else "No") if language == "en" else ("是" if yes else "不是")
    return Exchange(question=_say("is", language, rng, asker.things[thing]), answer=answer)


def _background(asker: Asker, scene: Scene, rng: random.Random, language: str) -> Exchange | None:
    if scene.background is None:
        return None
    answer = scene.background if language == "en" else COLOURS[scene.background]
    return Exchange(question=_say("background", language, rng), answer=answer)


def _colour(asker: Asker, scene: Scene, rng: random.Random, language: str) -> Exchange | None:
    counts = scene.counts()
    items = [item for item in scene.items if item.colour is not None and counts[item.thing] == 1]
    if not items:
        return None
    item = rng.choice(items)
    assert item.colour is not None, "only items with a colour were kept"
    answer = item.colour if language == "en" else COLOURS[item.colour]
    return Exchange(question=_say("colour", language, rng, asker.things[item.thing]), answer=answer)


def _where(asker: Asker, scene: Scene, rng: random.Random, language: str) -> Exchange | None:
    counts = scene.counts()
    items = [item for item in scene.items if counts[item.thing] == 1]
    if not items:
        return None
    item = rng.choice(items)
    place = place_of(item)
    if place is None:
        return None
    answer = place if language == "en" else PLACES[place]
    return Exchange(question=_say("where", language, rng, asker.things[item.thing]), answer=answer)


def _at(asker: Asker, scene: Scene, rng: random.Random, language: str) -> Exchange | None:
    places = [place_of(item) for item in scene.items]
    if len(places) < 2 or None in places:
        return None
    item, place = rng.choice(list(zip(scene.items, places, strict=True)))
    if places.count(place) != 1 or place is None:
        return None
    return Exchange(question=_say("at", language, rng, place=place), answer=asker.things[item.thing].name(language))


def _kinds_left_to_right(scene: Scene) -> list[int]:
    return list(dict.fromkeys(item.thing for item in sorted(scene.items, key=lambda item: item.x)))


def _all(asker: Asker, scene: Scene, rng: random.Random, language: str) -> Exchange | None:
    names = [asker.things[thing].name(language) for thing in _kinds_left_to_right(scene)]
    answer = (", " if language == "en" else "、").join(names)
    return Exchange(question=_say("all", language, rng), answer=answer)


def _describe(asker: Asker, scene: Scene, rng: random.Random, language: str) -> Exchange | None:
    counts = scene.counts()
    kinds = [(asker.things[thing].name(language), counts[thing]) for thing in _kinds_left_to_right(scene)]
    colour = scene.background
    if language == "zh":
        text = "、".join(f"{number}个{name}" for name, number in kinds)
        return Exchange(question=_say("describe", language, rng), answer=f"图中有{text}" + (f"，背景是{COLOURS[colour]}。" if colour else "。"))
    parts = [article(name) if number == 1 else f"{number} {plural(name)}" for name, number in kinds]
    text = parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
    return Exchange(question=_say("describe", language, rng), answer=f"The picture shows {text}" + (f" on a {colour} background." if colour else "."))


MAKERS: dict[str, Maker] = {
    "name": _name, "total": _total, "count": _count, "exists": _exists, "is": _is, "background": _background,
    "colour": _colour, "where": _where, "at": _at, "all": _all, "describe": _describe,
}  # fmt: skip
