"""A data set of which 5% of the records are broken, each in another way."""

import json
from pathlib import Path
from typing import Any

import PIL.Image

NUM_RECORDS = 160


def record(number: int, question: str = "What is this?", answer: str = "A dish.", **fields: object) -> dict[str, Any]:
    """One record in the official form; the pictures of `write_pictures` take turns."""
    turns = [{"from": "human", "value": question}, {"from": "gpt", "value": f"{answer} {number}" if answer else ""}]
    return {"id": str(number), "image": f"{number % 4}.png", "conversations": turns} | fields


def write_records(path: Path, records: list[Any]) -> None:
    """JSONL of objects, and of bytes as they are."""
    lines = [each if isinstance(each, bytes) else json.dumps(each, ensure_ascii=False).encode() for each in records]
    path.write_bytes(b"\n".join(lines) + b"\n")


def write_pictures(folder: Path) -> None:
    """0.png to 3.png, and cut.png, which ends in the middle."""
    for number, size in enumerate([(56, 56), (112, 56), (224, 112), (60, 200)]):
        PIL.Image.effect_noise(size, 50 + number).convert("RGB").save(folder / f"{number}.png")
    data = (folder / "0.png").read_bytes()
    (folder / "cut.png").write_bytes(data[: len(data) // 2])


def write_broken(folder: Path) -> tuple[Path, dict[int, str]]:
    """The file, and which rule each bad line breaks. The pictures are there already."""
    records: list[Any] = [record(number) for number in range(NUM_RECORDS)]
    changes = {
        3: (record(3, image="nope.png"), "missing file"),
        10: (record(10, image="cut.png"), "image"),
        31: (record(31, question="<image> <image> What?"), "placeholder count"),
        62: (record(62, answer=""), "empty answer"),
        77: (record(77, answer="word " * 100_000), "too long"),
        90: (record(90, id="5"), "duplicate id"),
        101: (json.dumps(record(101)).encode()[:-3], "bad JSON"),
        159: (json.dumps(record(159, question="这是什么菜？"), ensure_ascii=False).encode("gbk"), "encoding"),
    }
    for index, (changed, _) in changes.items():
        records[index] = changed
    write_records(folder / "train.jsonl", records)
    return folder / "train.jsonl", {index + 1: rule for index, (_, rule) in changes.items()}
