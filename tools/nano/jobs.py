"""What the generator's worker processes do: plan scenes, write pictures and conversations.

In: jobs. Out: files in the data folder, and lines of JSONL as values. A worker holds one `Setting`.
"""

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tools.nano.ask import Turn
from tools.nano.documents import label as letter_label
from tools.nano.documents import make_document
from tools.nano.lettering import Lettering
from tools.nano.letters import make_letters
from tools.nano.maps import QUESTION as MAP
from tools.nano.maps import map_of_things
from tools.nano.planner import Form, Planner
from tools.nano.scene import Label, Scene
from tools.nano.setting import Setting
from tools.nano.talk import talk, words_alone
from tools.nano.wording import QUESTIONS

QUALITY = 88
"""Of JPEG files."""
FORMS: dict[Form, float] = {"single": 0.36, "several": 0.34, "counting": 0.3}
DOCUMENT_SIZES = {(224, 224): 10.0, (448, 224): 2.0, (448, 448): 3.0, (672, 448): 1.0, (896, 672): 1.0}
MAPPED = ("scenes", "sheets")
"""Pictures of one tile, which have maps as well."""
TURNS, FEW = 6, 3
"""Of a conversation at most, and where there is less to ask: what was said before tells the rest."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """Scenes of one size to make."""

    name: str
    """scenes, large or sheets: the file that their conversations go to."""
    chunk: int
    number: int
    size: tuple[int, int]
    seed: int

    @property
    def rng(self) -> random.Random:
        return random.Random(f"{self.seed} {self.name} {self.chunk}")


@dataclass(frozen=True, kw_only=True)
class Written:
    """What a job gave."""

    lines: dict[str, list[dict[str, Any]]]
    """By the file that they belong to."""
    singles: list[tuple[str, int]] = field(default_factory=list)
    """Pictures of one thing: path and thing."""


class _Here:
    """What this process holds."""

    setting: Setting
    planner: Planner
    lettering: Lettering
    out: Path


def begin(setting: Setting, fonts: Path, out: Path) -> None:
    """Called once in each worker."""
    _Here.setting = setting
    _Here.planner = Planner(_Here.setting.catalogue, _Here.setting.training_mix)
    _Here.lettering = Lettering(fonts)
    _Here.out = out


def plan_job(job: Job) -> list[Scene]:
    rng = job.rng
    if job.name == "sheets":
        return [_Here.planner.sheet(job.size, rng) for _ in range(job.number)]
    forms = list(FORMS)
    scenes = []
    for _ in range(job.number):
        form: Form = rng.choices(forms, list(FORMS.values()))[0]
        if min(job.size) >= 448 and rng.random() < 0.55:
            form = "small"
        scenes.append(_Here.planner.plan(form, job.size, rng))
    return scenes


def write_pictures(job: Job, scenes: list[Scene], raw: Path) -> Written:
    """JPEG files of the painted scenes with their labels, and the conversations about them."""
    rng = random.Random(f"{job.seed} {job.name} {job.chunk} words")
    width, height = job.size
    canvases = np.fromfile(raw, np.uint8).reshape(len(scenes), height, width, 3)
    raw.unlink()
    folder = _folder(f"{job.name}-{job.chunk:05}")
    written = Written(lines={job.name: []})
    for idx, (scene, canvas) in enumerate(zip(scenes, canvases, strict=True)):
        picture = Image.fromarray(canvas)
        path = f"pictures/{folder.name}/{idx:03}.jpg"
        label = [read_label(_Here.lettering, picture, scene.label, rng)] if scene.label else []
        picture.save(_Here.out / path, quality=QUALITY)
        turns = _turns(scene, rng, label)
        written.lines[job.name].append(record(f"{folder.name}-{idx}", [path], turns))
        if job.name in MAPPED and not scene.label:
            turn = Turn(kind="map", question=MAP, answer=map_of_things(scene, _Here.setting.catalogue.outlines))
            maps = written.lines.setdefault(f"{job.name}_maps", [])
            maps.append(record(f"{folder.name}-{idx}-map", [path], [turn]))
        if job.name == "scenes" and len(scene.items) == 1:
            written.singles.append((path, scene.items[0].thing))
    return written


def _turns(scene: Scene, rng: random.Random, label: list[Turn]) -> list[Turn]:
    asker = _Here.setting.asker
    if scene.columns:
        turn = asker.ask("rows", scene, rng, rng.choice(("en", "zh")))
        assert turn, "a sheet can be told row by row"
        return [turn]
    turns = talk(asker, scene, rng, FEW if len(scene.items) == 1 else TURNS - len(label))
    place = rng.randint(0, len(turns))
    return turns[:place] + label + turns[place:]


def read_label(lettering: Lettering, picture: Image.Image, place: Label, rng: random.Random) -> Turn:
    """Puts the card on the picture; the turn that asks for its text."""
    card, text, language = letter_label(random.Random(place.seed), lettering, place.width, place.height)
    x = place.x + (place.width - card.width) // 2
    y = place.y + (place.height - card.height) // 2
    picture.paste(card, (x, y), card)
    return Turn(kind="label", question=rng.choice(QUESTIONS["label"][language]), answer=text)


def write_documents(chunk: int, number: int, seed: int) -> Written:
    rng = random.Random(f"{seed} documents {chunk}")
    folder = _folder(f"documents-{chunk:05}")
    lines = []
    for idx in range(number):
        size = rng.choices(list(DOCUMENT_SIZES), list(DOCUMENT_SIZES.values()))[0]
        document = make_document(rng, _Here.lettering, size)
        path = f"pictures/{folder.name}/{idx:03}.jpg"
        document.picture.save(_Here.out / path, quality=QUALITY)
        turns = [Turn(kind=document.kind, question=each.question, answer=each.answer) for each in document.turns]
        lines.append(record(f"{folder.name}-{idx}", [path], turns))
    return Written(lines={"documents": lines})


def write_letters(chunk: int, number: int, seed: int) -> Written:
    rng = random.Random(f"{seed} letters {chunk}")
    folder = _folder(f"letters-{chunk:05}")
    lines = []
    for idx in range(number):
        picture, answer = make_letters(rng, _Here.lettering)
        path = f"pictures/{folder.name}/{idx:03}.jpg"
        picture.save(_Here.out / path, quality=QUALITY)
        lines.append(record(f"{folder.name}-{idx}", [path], [Turn(kind="map", question=MAP, answer=answer)]))
    return Written(lines={"letters": lines})


def write_words(chunk: int, number: int, seed: int) -> Written:
    rng = random.Random(f"{seed} words {chunk}")
    lines = [record(f"words-{chunk}-{idx}", [], words_alone(_Here.setting.dish_names, rng)) for idx in range(number)]
    return Written(lines={"words": lines})


def record(name: str, images: list[str], turns: list[Turn]) -> dict[str, Any]:
    """A line of LLaVA's JSON; one picture stands before the first question, several where its marks are."""
    conversations = []
    for idx, turn in enumerate(turns):
        mark = "<image>\n" if idx == 0 and len(images) == 1 else ""
        conversations += [
            {"from": "human", "value": mark + turn.question},
            {"from": "gpt", "value": turn.answer},
        ]
    pictures: dict[str, Any] = {"image": images[0] if len(images) == 1 else images} if images else {}
    return {"id": name, **pictures, "conversations": conversations}


def _folder(name: str) -> Path:
    folder = _Here.out / "pictures" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder
