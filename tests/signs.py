"""Pictures of signs with made-up names: something that no model was trained on, to see whether it learns it.

Each sign is a shape; colour, size, place, turn and background differ from picture to picture.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageDraw

NAMES = {"circle": "dax", "square": "wug", "triangle": "blick", "star": "toma", "cross": "fep", "ring": "zav"}
QUESTION = "Which sign is in the picture?"
_COLOURS = [(214, 40, 40), (30, 110, 200), (30, 140, 60), (240, 160, 20), (130, 60, 170), (20, 20, 20)]
_SIZE = 224


def write_signs(
    folder: Path, train: int, test: int, shapes: Sequence[str] = tuple(NAMES), seed: int = 0
) -> tuple[Path, Path]:
    """train.json and test.json in LLaVA form, with their pictures; no picture is in both. Shapes take turns."""
    (folder / "images").mkdir(parents=True)
    generator = np.random.default_rng(seed)
    paths = []
    for part, count in (("train", train), ("test", test)):
        records = []
        for number in range(count):
            shape = shapes[number % len(shapes)]
            name = f"images/{part}-{number:04}.png"
            draw_sign(shape, generator).save(folder / name)
            turns = [("human", f"<image>\n{QUESTION}"), ("gpt", NAMES[shape])]
            records.append(
                {
                    "id": f"{part}-{number}",
                    "image": name,
                    "conversations": [{"from": who, "value": text} for who, text in turns],
                }
            )
        paths.append(folder / f"{part}.json")
        paths[-1].write_text(json.dumps(records, indent=1), "utf-8")
    return paths[0], paths[1]


def draw_sign(shape: str, generator: np.random.Generator) -> PIL.Image.Image:
    """One picture of 224 x 224 pixels."""
    background = tuple(int(each) for each in generator.integers(225, 256, 3))
    image = PIL.Image.new("RGB", (_SIZE, _SIZE), background)
    colour = _COLOURS[int(generator.integers(len(_COLOURS)))]
    radius = int(generator.integers(50, 85))
    x, y = (int(generator.integers(radius + 4, _SIZE - radius - 4)) for _ in range(2))
    draw = PIL.ImageDraw.Draw(image)
    box = (x - radius, y - radius, x + radius, y + radius)
    turn = float(generator.uniform(-0.2, 0.2))
    if shape == "circle":
        draw.ellipse(box, fill=colour)
    elif shape == "ring":
        draw.ellipse(box, outline=colour, width=radius // 3)
    else:
        draw.polygon(
            [(x + radius * r * math.cos(a + turn), y + radius * r * math.sin(a + turn)) for r, a in _outline(shape)],
            fill=colour,
        )
    return image


def _outline(shape: str) -> list[tuple[float, float]]:
    """Corners as (share of the radius, angle)."""
    if shape == "star":
        return [(1.0 if i % 2 == 0 else 0.4, math.pi * i / 5 - math.pi / 2) for i in range(10)]
    if shape == "cross":
        arm = math.atan2(1, 3)
        return [(r, q * math.pi / 2 + a) for q in range(4) for r, a in ((1.0, -arm), (1.0, arm), (0.45, math.pi / 4))]
    corners = {"triangle": 3, "square": 4}[shape]
    return [(1.0, 2 * math.pi * i / corners - math.pi / 2) for i in range(corners)]
