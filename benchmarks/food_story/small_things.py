"""Scenes of small things on large canvases, and large documents, with questions: what tiles should be worth.

In: the packs of artwork and fonts. Out: OUT/tiles.jsonl and pictures, which `ivl eval OUT/tiles.jsonl` reads.
"""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from tools.nano.documents import make_document
from tools.nano.lettering import Lettering
from tools.nano.pack import read_pack
from tools.nano.paint import Painter
from tools.nano.planner import Planner
from tools.nano.scene import Scene
from tools.nano.setting import Setting, make_setting

SIZES = ((672, 448), (896, 672))
ASKED = {
    "counting": (("count", "total"), "exact"),
    "colour": (("colour",), "exact"),
    "position": (("where", "at"), "exact"),
    "grounding": (("ground",), "iou"),
}
"""Ability -> kinds of question about small things, and how they are scored."""
CHUNK = 16
"""Scenes of one size that are painted together."""
QUALITY = 92
"""Of JPEG files."""
_TRIES = 30


def write_small_things(pack: Path, fonts: Path, out: Path, number: int, seed: int, device: str) -> None:
    """`number` questions about small things, and as many about text."""
    (out / "pictures").mkdir(parents=True, exist_ok=True)
    artwork = read_pack(pack)
    setting, painter = make_setting(artwork), Painter(torch.from_numpy(artwork.sprites).to(device))
    rows = [*_scenes(setting, painter, out, number, seed), *_documents(Lettering(fonts), out, number, seed)]
    lines = (json.dumps(each, ensure_ascii=False) + "\n" for each in rows)
    (out / "tiles.jsonl").write_text("".join(lines), "utf-8")


def _scenes(setting: Setting, painter: Painter, out: Path, number: int, seed: int) -> Iterator[dict[str, Any]]:
    planner, rng = Planner(setting.catalogue, setting.training_mix), random.Random(f"{seed} small things")
    for start in range(0, number, CHUNK):
        size = SIZES[start // CHUNK % len(SIZES)]
        drawn = [
            _asked(planner, setting, size, list(ASKED)[place % len(ASKED)], rng)
            for place in range(start, min(start + CHUNK, number))
        ]
        torch.manual_seed(rng.randrange(2**31))
        pixels = painter.paint([scene for scene, *_ in drawn], strong=False).permute(0, 2, 3, 1).cpu().numpy()
        for place, ((_, turn, ability, language), canvas) in enumerate(zip(drawn, pixels, strict=True), start):
            name = f"small-{place:04}"
            path = f"pictures/{name}.jpg"
            Image.fromarray(canvas).save(out / path, quality=QUALITY)
            tags = {"group": "small things", "ability": ability, "size": f"{size[0]}x{size[1]}", "language": language}
            yield _row(name, path, turn.question, turn.answer, ASKED[ability][1], tags)


def _asked(
    planner: Planner, setting: Setting, size: tuple[int, int], ability: str, rng: random.Random
) -> tuple[Scene, Any, str, str]:
    """A scene that allows such a question: scene, turn, ability, language."""
    while True:
        scene = planner.plan("small", size, rng)
        scene = Scene(**{**vars(scene), "label": None})
        for _ in range(_TRIES):
            language = rng.choice(("en", "zh"))
            turn = setting.asker.ask(rng.choice(ASKED[ability][0]), scene, rng, language)
            if turn:
                return scene, turn, ability, language


def _documents(lettering: Lettering, out: Path, number: int, seed: int) -> Iterator[dict[str, Any]]:
    rng = random.Random(f"{seed} documents")
    for place in range(number):
        size = SIZES[place % len(SIZES)]
        document = make_document(rng, lettering, size)
        turn = rng.choice(document.turns)
        name = f"document-{place:04}"
        path = f"pictures/{name}.jpg"
        document.picture.convert("RGB").save(out / path, quality=QUALITY)
        language = "zh" if any("\u4e00" <= char <= "\u9fff" for char in turn.question) else "en"
        tags = {"group": "documents", "ability": "ocr", "size": f"{size[0]}x{size[1]}", "language": language}
        metric = "iou" if "<box>" in turn.answer else "exact"
        yield _row(name, path, turn.question, turn.answer, metric, tags)


def _row(name: str, path: str, question: str, answer: str, metric: str, tags: dict[str, str]) -> dict[str, Any]:
    """One line as `ivl eval` reads it; boxes are given as numbers."""
    boxes = json.loads(answer.split("<box>")[1].split("</box>")[0]) if metric == "iou" else None
    return {"id": name, "image": path, "question": question, "answer": boxes or answer, "metric": metric, "tags": tags}
