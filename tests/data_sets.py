"""Small data sets for tests: pictures and LLaVA JSON in a folder, and a source of examples that needs no file."""

import json
from pathlib import Path

import PIL.Image

from ivl.data.example import Example
from ivl.errors import DataError
from ivl.types import ImagePart, Message, TextPart

COLOURS = {"red": (220, 30, 30), "green": (30, 180, 60), "blue": (40, 60, 210), "yellow": (230, 210, 40)}
QUESTION = "Which colour is it?"


def write_pictures(folder: Path, count: int = 8, size: tuple[int, int] = (96, 64)) -> list[tuple[str, str]]:
    """Writes plain pictures into folder/images; gives (path relative to the folder, name of the colour) of each."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    names = list(COLOURS)
    made = []
    for number in range(count):
        colour = names[number % len(names)]
        path = f"images/{number:03}.png"
        PIL.Image.new("RGB", size, COLOURS[colour]).save(folder / path)
        made.append((path, colour))
    return made


def llava_records(pictures: list[tuple[str, str]]) -> list[dict]:
    """A record for each picture, as LLaVA and XTuner write them."""
    return [
        {
            "id": f"colour-{number}",
            "image": path,
            "conversations": [
                {"from": "human", "value": f"<image>\n{QUESTION}"},
                {"from": "gpt", "value": colour},
            ],
        }
        for number, (path, colour) in enumerate(pictures)
    ]


def write_llava(folder: Path, count: int = 8, size: tuple[int, int] = (96, 64), name: str = "train.json") -> Path:
    """Writes pictures and a LLaVA JSON of them; gives the JSON's path."""
    path = folder / name
    path.write_text(json.dumps(llava_records(write_pictures(folder, count, size))), encoding="utf-8")
    return path


def make_example(text: str, image: object = None, where: str = "fake:1", **fields) -> Example:
    """A question with or without a picture, and its answer."""
    picture = () if image is None else (ImagePart(source=image),)
    messages = (
        Message(role="user", parts=(*picture, TextPart(text=QUESTION))),
        Message(role="assistant", parts=(TextPart(text=text),)),
    )
    return Example(messages=messages, where=where, **fields)


class ListSource:
    """Examples held in a list; a text in it is the fault of that record."""

    def __init__(self, examples: list[Example | str], name: str = "fake") -> None:
        self.name = name
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Example:
        example = self.examples[index]
        if isinstance(example, str):
            raise DataError(f"{self.where(index)}: {example}")
        return example

    def where(self, index: int) -> str:
        return f"{self.name}:{index + 1}"


def folder_source(folder: Path, count: int = 8, size: tuple[int, int] = (96, 64), **fields) -> ListSource:
    """A source over pictures that it writes; `fields` go into each example."""
    return ListSource(
        [
            make_example(colour, str(folder / path), where=f"fake:{number}", id=f"colour-{number}", **fields)
            for number, (path, colour) in enumerate(write_pictures(folder, count, size), 1)
        ]
    )
