"""Draws the pictures that ship in `ivl.zoo`, and writes the questions about them with their true answers.

    python -m tools.seedling.pictures --out src/ivl/zoo/pictures

Only noto (Apache-2.0) and fluent-emoji (MIT) drawings are used, so that the pictures' licences stay simple. Every
answer is computed from the scene by the code that made the training questions, never taken from a model.
"""

import argparse
import json
import math
from dataclasses import dataclass
from pathlib import Path

from tools.seedling.artist import Artist
from tools.seedling.layout import GRADIENT, PLAIN, Plan
from tools.seedling.pack import Pack, read_pack
from tools.seedling.questions import Item, Scene, article, place_of
from tools.seedling.templates import COLOURS, PLACES
from tools.seedling.vocabulary import plural

Colour = tuple[float, float, float]
COLOURS_KEPT = 80
"""Palette size of the PNG files."""


@dataclass(frozen=True, kw_only=True)
class Placed:
    """One thing of a shipped picture: its English name, where its square lies, and how far it is turned."""

    name: str
    x: float
    y: float
    side: float
    degrees: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Shipped:
    """One picture and what is asked about it: (kind, English name of a thing or nothing)."""

    name: str
    style: str
    size: tuple[int, int]
    background: str
    colours: tuple[Colour, Colour]
    things: tuple[Placed, ...]
    questions: tuple[tuple[str, str], ...]


CREAM, SKY, MINT = (0.99, 0.94, 0.80), (0.70, 0.85, 0.98), (0.78, 0.94, 0.80)
PICTURES = (
    Shipped(
        name="hot-dog",
        style="fluent-emoji",
        size=(448, 448),
        background="blue",
        colours=(SKY, (0.55, 0.76, 0.96)),
        things=(Placed(name="hot dog", x=224, y=228, side=330),),
        questions=(("name", ""), ("food", "")),
    ),
    Shipped(
        name="fruit",
        style="noto",
        size=(448, 448),
        background="green",
        colours=(MINT, MINT),
        things=(
            Placed(name="banana", x=98, y=104, side=140, degrees=8),
            Placed(name="strawberry", x=330, y=92, side=130, degrees=-8),
            Placed(name="banana", x=238, y=232, side=140, degrees=-10),
            Placed(name="strawberry", x=92, y=350, side=130, degrees=10),
            Placed(name="banana", x=350, y=352, side=140, degrees=4),
        ),
        questions=(("count", "banana"), ("total", ""), ("exists", "banana"), ("exists", "pizza")),
    ),
    Shipped(
        name="lunch",
        style="fluent-emoji",
        size=(640, 480),
        background="yellow",
        colours=((1.0, 0.93, 0.55), (1.0, 0.93, 0.55)),
        things=(
            Placed(name="pizza", x=128, y=100, side=170),
            Placed(name="bubble tea", x=530, y=96, side=170),
            Placed(name="doughnut", x=320, y=390, side=160),
        ),
        questions=(("where", "pizza"), ("total", ""), ("background", ""), ("exists", "doughnut"), ("exists", "sushi")),
    ),
    Shipped(
        name="picnic",
        style="noto",
        size=(1344, 896),
        background="white",
        colours=((0.99, 0.99, 0.99), (0.99, 0.99, 0.99)),
        things=(
            Placed(name="watermelon", x=220, y=220, side=330),
            Placed(name="hamburger", x=672, y=240, side=330),
            Placed(name="hamburger", x=1110, y=230, side=320, degrees=-6),
            Placed(name="dog", x=300, y=660, side=360),
            Placed(name="hamburger", x=1000, y=660, side=330, degrees=6),
        ),
        questions=(("count", "hamburger"), ("exists", "dog"), ("where", "watermelon"), ("total", "")),
    ),
)
ASKED = {
    "name": ("What is this?", "这是什么？"),
    "food": ("What food is this?", "这是什么食物？"),
    "count": ("How many {s} are in the picture?", "图里有几个{n}？"),
    "exists": ("Is there {a} in the picture?", "图中有{n}吗？"),
    "where": ("Where is the {n}?", "{n}在哪里？"),
    "total": ("How many things are there?", "一共有几个东西？"),
    "background": ("What color is the background?", "背景是什么颜色？"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", type=Path, default=Path("out/seedling/pack.npz"))
    parser.add_argument("--npm", type=Path, default=Path("out/seedling/npm"))
    parser.add_argument("--out", type=Path, default=Path("src/ivl/zoo/pictures"))
    args = parser.parse_args()
    pack = read_pack(args.pack)
    artist = Artist(args.npm / "node_modules", pack)
    args.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, shipped in enumerate(PICTURES, 1):
        file = f"{number}-{shipped.name}.png"
        plan = plan_of(shipped, pack)
        picture = artist.draw(plan, shipped.size, seed=1)
        picture.quantize(COLOURS_KEPT, dither=0).save(args.out / file, optimize=True)
        rows += [{"picture": file, **row} for row in questions_of(shipped, plan.scene, pack)]
    text = json.dumps(rows, ensure_ascii=False, indent=1) + "\n"
    (args.out / "questions.json").write_text(text, encoding="utf-8")


def plan_of(shipped: Shipped, pack: Pack) -> Plan:
    """The picture as a plan that the artist draws."""
    style = pack.styles.index(shipped.style)
    by_name = {thing.english: idx for idx, thing in enumerate(pack.things)}
    pairs = zip(pack.style_idx.tolist(), pack.thing_idx.tolist(), strict=True)
    sprites = {thing: sprite for sprite, (drawn, thing) in enumerate(pairs) if drawn == style}
    width, height = shipped.size
    items = tuple(Item(thing=by_name[p.name], x=p.x / width, y=p.y / height) for p in shipped.things)
    return Plan(
        scene=Scene(items=items, background=shipped.background),
        sprites=[sprites[item.thing] for item in items],
        boxes=[(p.x, p.y, p.side) for p in shipped.things],
        angles=[math.radians(p.degrees) for p in shipped.things],
        flips=[False] * len(items),
        background=PLAIN if shipped.colours[0] == shipped.colours[1] else GRADIENT,
        colours=shipped.colours,
        keep_colours=True,
    )


def questions_of(shipped: Shipped, scene: Scene, pack: Pack) -> list[dict[str, str]]:
    """Each question in both languages with the answer that the scene gives."""
    rows = []
    for kind, name in shipped.questions:
        for language, template in zip(("en", "zh"), ASKED[kind], strict=True):
            thing = next((t for t in pack.things if t.english == name), None)
            said = thing.name(language) if thing else ""
            question = template.replace("{n}", said)
            if thing is not None:
                question = question.replace("{s}", plural(said)).replace("{a}", article(said))
            answer = true_answer(kind, name, scene, pack, language)
            rows.append({"language": language, "question": question, "answer": answer})
    return rows


def true_answer(kind: str, name: str, scene: Scene, pack: Pack, language: str) -> str:
    """What the scene's facts say."""
    there = [item for item in scene.items if pack.things[item.thing].english == name]
    if kind in ("name", "food"):
        assert len(scene.items) == 1, "only a picture of one thing is asked what it is"
        return pack.things[scene.items[0].thing].name(language)
    if kind in ("count", "total"):
        return str(len(there if kind == "count" else scene.items))
    if kind == "exists":
        words = ("Yes", "No") if language == "en" else ("有", "没有")
        return words[0] if there else words[1]
    if kind == "background":
        assert scene.background is not None, "the background has no one colour"
        return scene.background if language == "en" else COLOURS[scene.background]
    assert kind == "where", f"no such kind of question: {kind}"
    assert len(there) == 1, "a place is asked of the only thing of its kind"
    place = place_of(there[0])
    assert place is not None, f"the {name} lies near a line between thirds"
    return place if language == "en" else PLACES[place]


if __name__ == "__main__":
    main()
