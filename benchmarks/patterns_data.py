"""The data of the connector comparison: one split for all runs, and short sentences about pictures for alignment.

In: a folder with `train.jsonl` in LLaVA's layout and its pictures (the package's general set is one). Out:
`train.jsonl` and `val.jsonl`, of other pictures; and of a file the sentences of each picture. All kinds of connectors
learn from the same pictures and answers: a Q-Former's first stage gets no captions that the others have not.
"""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VAL_SHARE = 0.12
"""Of the records, held out for the loss curve."""
_DESCRIBES = ("describe", "描述", "看到了什么", "介绍")
_SPLIT_SEED = 7


@dataclass(frozen=True, kw_only=True)
class Pictured:
    """A picture and short sentences that are true of it."""

    picture: Path
    sentences: tuple[str, ...]


def split(source: Path, out: Path) -> tuple[int, int]:
    """Write `train.jsonl` and `val.jsonl` into `out`; numbers of records. No picture is in both."""
    records = list(read_records(source / "train.jsonl"))
    groups = _groups([_pictures(record) for record in records])
    random.Random(_SPLIT_SEED).shuffle(groups)
    wanted, held = max(1, round(VAL_SHARE * len(records))), set[int]()
    for group in groups:
        if len(held) + len(group) <= wanted:
            held |= set(group)
    parts: dict[str, list[dict[str, Any]]] = {"train": [], "val": []}
    for number, record in enumerate(records):
        parts["val" if number in held else "train"].append(record)
    out.mkdir(parents=True, exist_ok=True)
    for name, rows in parts.items():
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (out / f"{name}.jsonl").write_text("".join(lines), "utf-8")
    return len(parts["train"]), len(parts["val"])


def _pictures(record: dict[str, Any]) -> set[str]:
    """Of a record; one without pictures has itself."""
    images = record.get("image", record["id"])
    return {images} if isinstance(images, str) else set(images)


def _groups(pictures: Sequence[set[str]]) -> list[list[int]]:
    """Numbers of records that are about the same pictures, directly or by way of others."""
    groups: list[tuple[set[str], list[int]]] = []
    for number, own in enumerate(pictures):
        met = [group for group in groups if group[0] & own]
        joined = (set.union(own, *(each[0] for each in met)), [*(n for each in met for n in each[1]), number])
        groups = [*(group for group in groups if group not in met), joined]
    return [sorted(numbers) for _, numbers in groups]


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a JSONL file."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.strip():
                yield json.loads(line)


def read_sentences(path: Path, image_folder: Path) -> list[Pictured]:
    """Pictures with their sentences, of records with one picture; those without a sentence are left out."""
    found: dict[str, list[str]] = {}
    for record in read_records(path):
        if isinstance(record.get("image"), str):
            found.setdefault(record["image"], []).extend(sentences_of(record))
    unique = {image: tuple(dict.fromkeys(said)) for image, said in found.items()}
    return [Pictured(picture=image_folder / image, sentences=said) for image, said in unique.items() if said]


def sentences_of(record: dict[str, Any]) -> Iterator[str]:
    """A description as it stands, any other answer behind its question; boxes are no words and are left out."""
    turns = record["conversations"]
    for asked, answered in zip(turns[::2], turns[1::2], strict=True):
        question = asked["value"].replace("<image>", "").strip()
        answer = answered["value"].strip()
        if "<box>" in question + answer or "[[" in question + answer or not answer:
            continue
        is_description = any(word in question.lower() for word in _DESCRIBES)
        yield answer if is_description else f"{question} {answer}"


def batches(pictured: Sequence[Pictured], size: int, count: int, seed: int) -> Iterator[list[tuple[int, str]]]:
    """`count` batches of `size` pairs: a picture's number and one of its sentences.

    No picture and no sentence is twice in a batch: the same words about two pictures would be a negative that is true.
    Raises ValueError where there are not enough of them.
    """
    draw = random.Random(seed)
    if len({said for each in pictured for said in each.sentences}) < size or len(pictured) < size:
        raise ValueError(f"{len(pictured)} pictures with their sentences make no batch of {size} different pairs")
    waiting: list[int] = []
    for _ in range(count):
        batch: dict[str, int] = {}
        tries = 0
        while len(batch) < size:
            tries += 1
            if tries > 20 * len(pictured):
                raise ValueError(f"no batch of {size} different pairs can be drawn: take a smaller one")
            if not waiting:
                waiting = list(range(len(pictured)))
                draw.shuffle(waiting)
            number = waiting.pop()
            free = [said for said in pictured[number].sentences if said not in batch]
            if free and number not in batch.values():
                batch[draw.choice(free)] = number
        yield [(number, said) for said, number in batch.items()]
