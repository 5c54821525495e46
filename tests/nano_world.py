"""A tiny made-up world for tests of the small model's generator: a dozen things in two styles, all of them opaque.

In: nothing. Out: things, sprites, a `Setting`, a `Planner`, a folder of fonts. No npm, no pack, no network.
Its users have the repository on the path (tests/tools/conftest.py).
"""

import json
import random
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from tools.foods.facts import load_foods
from tools.nano.colours import dominant_colours, mean_colours
from tools.nano.document_words import ASCII, MARKS, every_character
from tools.nano.hulls import outlines
from tools.nano.nouns import name_things
from tools.nano.planner import Catalogue, Form, Mix, Planner
from tools.nano.scene import Scene
from tools.nano.setting import Setting, dish_names, make_asker
from tools.nano.vocabulary import Thing

SIDE = 48
THINGS = tuple(
    Thing(code=code, english=english, chinese=chinese, group=group, subgroup=subgroup)
    for code, english, chinese, group, subgroup in (
        ("1F408", "cat", "猫", 3, 1),
        ("1F415", "dog", "狗", 3, 1),
        ("1F9AE", "guide dog", "导盲犬", 3, 1),
        ("1F99E", "lobster", "龙虾", 3, 2),
        ("1F528", "hammer", "锤子", 7, 3),
        ("2702", "scissors", "剪刀", 7, 3),
        ("1F511", "key", "钥匙", 7, 3),
        ("1F4D8", "blue book", "蓝色书本", 7, 4),
        ("1F682", "locomotive", "蒸汽火车", 5, 5),
        ("1F552", "three o’clock", "三点", 5, 6),
        ("2764", "red heart", "红心", 8, 7),
        ("1F355", "pizza", "披萨", 4, 8),
        ("1F363", "sushi", "寿司", 4, 8),
        ("1F37A", "beer mug", "啤酒", 4, 9),
        ("2615", "hot beverage", "热饮", 4, 9),
        ("1F347", "grapes", "葡萄", 4, 10),
        ("1F364", "fried shrimp", "天妇罗", 4, 8),
    )
)
FOOD_WORDS = ("pizza", "sushi", "beer", "coffee", "grapes", "shrimp", "披萨", "寿司", "啤酒", "咖啡", "葡萄", "天妇罗")
"""Own names of its foods, which must never be said of a picture."""
_COLOURS = ((210, 30, 30), (30, 90, 220), (20, 20, 20), (250, 210, 20))


@cache
def sprites() -> np.ndarray:
    """(M, 4, SIDE, SIDE): rectangles, discs and triangles of many shapes, two styles of each thing."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] + 0.5
    drawn = []
    for idx in range(2 * len(THINGS)):
        wide, high = 10 + (idx * 5) % 13, 22 - (idx * 7) % 11
        near = (np.abs(x - SIDE / 2) <= wide) & (np.abs(y - SIDE / 2) <= high)
        disc = ((x - SIDE / 2) / wide) ** 2 + ((y - SIDE / 2) / high) ** 2 <= 1
        triangle = near & (np.abs(x - SIDE / 2) / wide <= (y - SIDE / 2 + high) / (2 * high))
        shape = (near, disc, triangle)[idx % 3]
        colour = np.array(_COLOURS[idx % len(_COLOURS)])[:, None, None] * np.ones((1, SIDE, SIDE))
        drawn.append(np.concatenate((colour, 255.0 * shape[None])))
    return np.stack(drawn).astype(np.uint8)


@cache
def world() -> Setting:
    """The setting of this world; both styles are trained ones."""
    foods = load_foods()
    nouns = name_things(THINGS, foods)
    count = len(THINGS)
    catalogue = Catalogue(
        things=THINGS,
        nouns=tuple(nouns),
        by_style=tuple({thing: [style * count + thing] for thing in range(count)} for style in range(2)),
        colours=dominant_colours(sprites()),
        means=mean_colours(sprites()),
        outlines=outlines(sprites()),
    )
    return Setting(
        styles=("noto", "twemoji"),
        trained_styles=(0, 1),
        catalogue=catalogue,
        asker=make_asker(THINGS, nouns, foods),
        dish_names=dish_names(foods),
    )


def a_planner(symbol_share: float = 0.1) -> Planner:
    mix = Mix(styles=(0, 1), style_weights=(1.0, 2.0), symbol_share=symbol_share)
    return Planner(world().catalogue, mix)


def scenes(number: int, seed: int = 0) -> Iterator[Scene]:
    """Random scenes of all forms and some sizes."""
    planner, rng = a_planner(), random.Random(f"{seed} world")
    forms: tuple[Form, ...] = ("single", "several", "counting", "several")
    for _ in range(number):
        size = rng.choice(((224, 224), (448, 224), (448, 448)))
        yield planner.plan("small" if size == (448, 448) else rng.choice(forms), size, rng)


def name(english: str) -> int:
    """The thing of that name."""
    return next(idx for idx, thing in enumerate(THINGS) if thing.english == english)


def a_font_folder(folder: Path) -> Path:
    """One font for all: Chinese characters are boxes in it, which is enough to measure and to place."""
    folder.mkdir(parents=True, exist_ok=True)
    source = Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"
    shutil.copyfile(source, folder / "font.ttf")
    rows = [
        {"name": "latin", "characters": ASCII + MARKS, "chinese": False},
        {"name": "chinese", "characters": every_character(), "chinese": True},
    ]
    rows = [{**row, "file": "font.ttf", "share": 1.0, "smallest": 0} for row in rows]
    (folder / "fonts.json").write_text(json.dumps(rows), encoding="utf-8")
    return folder
