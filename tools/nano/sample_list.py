"""Which sample pictures ship, and what is asked about them.

Only noto (Apache-2.0), fluent-emoji (MIT) and fxemoji (Apache-2.0) are drawn, so that the pictures' licences stay
simple. `samples.py` draws them and finds the answers; it fails where training would not have asked a question so.
"""

from dataclasses import dataclass

from tools.nano.scene import Label

Colour = tuple[float, float, float]
Asked = tuple[str, str, str]
"""Kind of question, its words in English and in Chinese."""


@dataclass(frozen=True, kw_only=True)
class Placed:
    """One thing of a drawn picture: its English name, where its square lies in pixels, how far it is turned."""

    name: str
    x: float
    y: float
    side: float
    degrees: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A scene to draw, and what is asked about it."""

    name: str
    style: str
    size: tuple[int, int]
    background: str
    colours: tuple[Colour, Colour]
    things: tuple[Placed, ...]
    questions: tuple[Asked, ...]
    label: Label | None = None


@dataclass(frozen=True, kw_only=True)
class Food:
    """A picture of the food set, and what is asked about it."""

    name: str
    path: str
    thing: str
    questions: tuple[Asked, ...]


@dataclass(frozen=True, kw_only=True)
class Menu:
    """A menu, and what is asked about it; the kinds of its questions are for the reader."""

    name: str
    language: str
    """That it is written in."""
    size: tuple[int, int]
    seed: int
    questions: tuple[Asked, ...]


NAME, FOOD = ("name", "What is this?", "这是什么？"), ("name", "What food is this?", "这是什么食物？")
TOTAL = ("total", "How many things are there?", "一共有几个东西？")
BACKGROUND = ("background", "What color is the background?", "背景是什么颜色？")
SAND, SKY, MINT = (0.99, 0.95, 0.72), (0.70, 0.85, 0.98), (0.78, 0.94, 0.80)
SAMPLES: tuple[Drawn | Food | Menu, ...] = (
    Food(
        name="spaghetti",
        path="test_dishes/images/noto/spaghetti.webp",
        thing="spaghetti",
        questions=(NAME, FOOD, ("exists", "Is there a dog in the picture?", "图中有狗吗？")),
    ),
    Food(
        name="hamburger",
        path="test_styles/images/fxemoji/hamburger.webp",
        thing="hamburger",
        questions=(FOOD, ("refuse", "Where is the umbrella?", "伞在哪里？")),
    ),
    Drawn(
        name="pets",
        style="noto",
        size=(448, 448),
        background="green",
        colours=(MINT, MINT),
        things=(
            Placed(name="cat", x=92, y=96, side=150, degrees=-6),
            Placed(name="rabbit", x=350, y=92, side=140),
            Placed(name="cat", x=226, y=236, side=150, degrees=8),
            Placed(name="guitar", x=90, y=356, side=150),
            Placed(name="cat", x=356, y=352, side=150),
        ),
        questions=(
            ("count", "How many cats are there?", "图里有几个猫？"),
            TOTAL,
            ("where", "Where is the rabbit?", "兔子在哪里？"),
            ("exists", "Is there a horse in the picture?", "图中有马吗？"),
        ),
    ),
    Drawn(
        name="garage",
        style="fluent-emoji",
        size=(640, 480),
        background="yellow",
        colours=(SAND, SAND),
        things=(
            Placed(name="bicycle", x=132, y=112, side=190),
            Placed(name="umbrella", x=510, y=118, side=170, degrees=6),
            Placed(name="guitar", x=140, y=360, side=180),
            Placed(name="tractor", x=490, y=358, side=200),
        ),
        questions=(
            ("ground", "Detect the umbrella in the image.", "请检测图中的伞。"),
            ("is_side", "Is the bicycle above the guitar?", "自行车在吉他的上方吗？"),
            ("colour", "What color is the umbrella?", "伞是什么颜色？"),
            BACKGROUND,
        ),
    ),
    Drawn(
        name="breakfast",
        style="fluent-emoji",
        size=(448, 224),
        background="white",
        colours=((1.0, 1.0, 1.0), (1.0, 1.0, 1.0)),
        things=(
            Placed(name="red apple", x=74, y=116, side=110),
            Placed(name="croissant", x=224, y=112, side=124, degrees=10),
            Placed(name="fire engine", x=376, y=112, side=120),
        ),
        questions=(
            ("order", "List the things from left to right.", "从左到右依次是什么？"),
            ("at", "What is at the center?", "中间是什么？"),
            ("at_side", "What is to the right of the baked food?", "面点的右边是什么？"),
        ),
    ),
    Menu(
        name="menu",
        language="en",
        size=(448, 448),
        seed=2544,
        questions=(
            ("price", "How much is the coffee?", "coffee多少钱？"),
            ("cheapest", "What is the cheapest?", "最便宜的是什么？"),
            ("count", "How many dishes are on the menu?", "菜单上有几个菜？"),
        ),
    ),
    Menu(
        name="canteen",
        language="zh",
        size=(448, 448),
        seed=1655,
        questions=(
            ("price", "How much is 红辣椒?", "红辣椒多少钱？"),
            ("title", "What is the title?", "标题是什么？"),
            ("by_price", "What costs ¥272.5?", "什么卖¥272.5？"),
        ),
    ),
    Drawn(
        name="harbour",
        style="noto",
        size=(896, 672),
        background="blue",
        colours=(SKY, SKY),
        things=(
            Placed(name="airplane", x=140, y=96, side=84),
            Placed(name="sun", x=790, y=90, side=92),
            Placed(name="sailboat", x=450, y=330, side=104),
            Placed(name="bus", x=140, y=590, side=96),
            Placed(name="bus", x=300, y=560, side=84),
            Placed(name="rocket", x=770, y=330, side=80),
            Placed(name="camera", x=620, y=596, side=70),
        ),
        questions=(
            ("count", "How many buses are there?", "有几个公交车？"),
            ("where", "Where is the airplane?", "飞机在哪里？"),
            ("ground", "Locate the sailboat.", "框出帆船。"),
            ("label", "What does the label say?", "标签上写着什么？"),
        ),
        label=Label(x=60, y=300, width=150, height=60, seed=79),
    ),
)
