"""What a run's folder tells of its training: the recipe, steps, device, time, and the terms of its data.

In: a run's folder as `ivl train` leaves it (checkpoint-N/state.json, metrics.jsonl). Out: a `Run`; None for what no
file says. Reads JSON only, a bounded line at a time; imports nothing of the room that wrote it.
"""

import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ivl.errors import InputError
from ivl.export.card_private import public, public_name
from ivl.model.folder_io import locate, open_file, read_json

METRICS = "metrics.jsonl"
RESULT_FOLDERS = ("adapter", "model")
_CHECKPOINT = re.compile(r"checkpoint-(0|[1-9][0-9]{0,17})")
_LONGEST_LINE = 4 * 2**20
_MOST_PAGE_BYTES = 64 * 2**20
_VERSIONS = re.compile(
    r"ivl \d[\w.+-]{0,30}, Python \d[\w.]{0,12}(?:, (?:torch|accelerate|peft|bitsandbytes|deepspeed) [\w.+-]{1,40})*"
)
_FOODIEQA_FILES = ("sivqa_tidy.json", "sivqa_filtered_bi.json")
FIELDS = (
    "language_model", "vision_model", "connector", "vision_layers", "r", "lora_alpha", "lora_dropout", "use_rslora",
    "use_dora", "target_modules", "quantization", "lr", "connector_lr", "vision_lr", "optim_type", "betas",
    "weight_decay", "max_norm", "warmup_ratio", "lr_schedule", "max_epochs", "max_steps", "batch_size",
    "accumulative_counts", "packing", "pack_length", "max_length", "max_dynamic_patch", "replay_ratio",
    "loss_weighting", "dtype", "strategy", "seed",
)  # fmt: skip
"""Those of a recipe that a card shows: what was learned and how. No path, no tracker and no folder is among them."""
_LORA_ONLY = ("r", "lora_alpha", "lora_dropout", "use_rslora", "use_dora", "target_modules")


@dataclass(frozen=True, kw_only=True)
class DataTerms:
    """A data set of the recipe."""

    name: str
    role: str
    """training, replay or validation."""
    licence: str | None
    """As a file beside the data says it."""
    is_foodieqa: bool


@dataclass(frozen=True, kw_only=True)
class Run:
    """A training run."""

    base_path: str | None
    """The recipe's `path`; for finding the base, never for showing."""
    settings: tuple[tuple[str, str], ...]
    data: tuple[DataTerms, ...]
    steps: int | None
    total_steps: int | None
    epochs: float | None
    num_samples: int | None
    num_tokens: int | None
    num_trained: int | None
    num_parameters: int | None
    device: str | None
    world_size: int | None
    seconds: float | None
    num_starts: int
    losses: tuple[float, float] | None
    """Validation loss before and after."""
    is_finished: bool | None
    versions: str | None
    """Of the packages that trained it, as its report says."""


def find_run(folder: Path) -> Path | None:
    """The run's folder that a result or a checkpoint lies in, or that the folder itself is; None: no run's files."""
    for place in (folder, folder.resolve().parent):
        is_inside = place is folder or folder.name in RESULT_FOLDERS or _CHECKPOINT.fullmatch(folder.name)
        if is_inside and (locate(place, METRICS, InputError) or _newest(place)):
            return place
    return None


def read_run(folder: Path) -> Run:
    """Raises InputError where the folder holds no run, or a file of it is damaged."""
    place = find_run(folder)
    if place is None:
        raise InputError(f"{folder} holds no run (no {METRICS}, no checkpoint-N): give the folder that ivl train wrote")
    state = _state(place)
    recipe = state.get("recipe") if isinstance(state.get("recipe"), dict) else None
    records = _Records()
    for record in _lines(place, METRICS):
        records.add(record)
    path = recipe.get("path") if recipe else None
    return Run(
        base_path=path if isinstance(path, str) else None,
        settings=tuple(_settings(recipe)) if recipe else (),
        data=tuple(_data(recipe)) if recipe else (),
        versions=_versions(place),
        **records.facts(),
    )


class _Records:
    """Adds up the lines of metrics.jsonl; a step that was done again counts as it was the last time."""

    def __init__(self) -> None:
        self.starts: list[dict[str, Any]] = []
        self.end: dict[str, Any] | None = None
        self.steps: dict[int, dict[str, Any]] = {}
        self.losses: dict[int, float] = {}

    def add(self, record: dict[str, Any]) -> None:
        kind, step = record.get("kind"), record.get("step")
        if not isinstance(step, int):
            return
        if kind == "run_start":
            self.starts.append(record)
            self.end = None
        elif kind == "run_end":
            self.end = record
        elif kind == "step":
            self.steps[step] = record
        elif kind == "validation" and isinstance(record.get("loss"), int | float):
            self.losses[step] = float(record["loss"])

    def facts(self) -> dict[str, Any]:
        first: Mapping[str, Any] = self.starts[-1] if self.starts else {}
        last: Mapping[str, Any] = self.steps[max(self.steps)] if self.steps else {}
        steps = sorted(self.losses)
        device = first.get("device")
        return {
            "steps": max(self.steps, default=None),
            "total_steps": _whole(first, "total_steps"),
            "epochs": _number(last, "epoch"),
            "num_samples": self._sum("num_samples"),
            "num_tokens": self._sum("num_tokens"),
            "num_trained": _whole(first, "num_trainable"),
            "num_parameters": _whole(first, "num_parameters"),
            "device": public(device, 80) if isinstance(device, str) else None,
            "world_size": _whole(first, "world_size"),
            "seconds": self._seconds(),
            "num_starts": len(self.starts),
            "losses": (self.losses[steps[0]], self.losses[steps[-1]]) if len(steps) > 1 else None,
            "is_finished": bool(self.end.get("finished")) if self.end else None,
        }

    def _sum(self, name: str) -> int | None:
        values = [_whole(record, name) for record in self.steps.values()]
        return sum(each for each in values if each is not None) or None

    def _seconds(self) -> float | None:
        """Of the whole command where it ran through; else of its steps."""
        if self.end is not None and len(self.starts) == 1:
            return _number(self.end, "seconds")
        values = [_number(record, "seconds") for record in self.steps.values()]
        return sum(each for each in values if each is not None) or None


def _newest(place: Path) -> Path | None:
    if not place.is_dir():
        return None
    steps = [int(found[1]) for path in place.iterdir() if (found := _CHECKPOINT.fullmatch(path.name)) and path.is_dir()]
    return place / f"checkpoint-{max(steps)}" if steps else None


def _state(place: Path) -> dict[str, Any]:
    newest = _newest(place)
    if newest is None or locate(newest, "state.json", InputError) is None:
        return {}
    state = read_json(newest, "state.json", InputError).get("state")
    return state if isinstance(state, dict) else {}


def _lines(place: Path, name: str) -> Iterator[dict[str, Any]]:
    """The objects of a JSON-lines file; a last line that was cut off is passed over. Raises InputError for others."""
    if locate(place, name, InputError) is None:
        return
    with open_file(place, name, InputError) as raw:
        file, number = io.BufferedReader(raw), 0  # type: ignore[type-var]
        while line := file.readline(_LONGEST_LINE):
            number += 1
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                if not line.endswith(b"\n") and len(line) < _LONGEST_LINE:
                    return
                raise InputError(f"{place / name}:{number} is damaged: the card needs the run's own record") from None
            if isinstance(record, dict):
                yield record


def _versions(place: Path) -> str | None:
    if locate(place, "report.html", InputError) is None:
        return None
    with open_file(place, "report.html", InputError) as file:
        page = file.read(_MOST_PAGE_BYTES).decode("utf-8", "replace")
    found = _VERSIONS.search(page)
    return found[0] if found else None


def _modes(recipe: Mapping[str, Any]) -> list[Any]:
    return [recipe.get(part) for part in ("language_model", "vision_model", "connector")]


def _settings(recipe: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    has_adapters = "lora" in _modes(recipe)
    for name in FIELDS:
        value = recipe.get(name)
        if value in (None, False, []) or (name in _LORA_ONLY and not has_adapters):
            continue
        if name == "replay_ratio" and not recipe.get("replay_path"):
            continue
        yield name, _plain(value)


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(_plain(each) for each in value)
    return f"{value:g}" if isinstance(value, float) else public(value, 120)


def _data(recipe: Mapping[str, Any]) -> Iterator[DataTerms]:
    root = Path(str(recipe.get("data_root") or ".")).expanduser()
    for field, role in (("data_path", "training"), ("replay_path", "replay"), ("val_data_path", "validation")):
        sources = recipe.get(field)
        for source in sources if isinstance(sources, list) else ():
            if isinstance(source, dict) and isinstance(source.get("path"), str):
                yield _terms(root, source, recipe.get("image_folder"), role)


def _terms(root: Path, source: Mapping[str, Any], images: object, role: str) -> DataTerms:
    """The name of a data set, and the terms that a file beside it or its pictures states."""
    path = root / source["path"]
    places = [path if path.is_dir() else path.parent]
    own = source.get("image_folder") or images
    if isinstance(own, str):
        places.append(root / own)
    licence = next((found for place in places if (found := _licence(place))), None)
    is_foodieqa = licence is None and any(_is_foodieqa(place) for place in places)
    name = public(source["name"], 80) if isinstance(source.get("name"), str) else public_name(source["path"])
    return DataTerms(name=name, role=role, licence=licence, is_foodieqa=is_foodieqa)


def _licence(place: Path) -> str | None:
    """What a `dataset.json` there says, or the `license:` of a card."""
    try:
        card = read_json(place, "dataset.json", InputError)
        name, licence = card.get("name"), card.get("licence")
        if isinstance(name, str) and isinstance(licence, str):
            return f"{public(name, 80)}: {public(licence, 300)}"
    except InputError:
        pass
    try:
        with open_file(place, "README.md", InputError) as file:
            head = file.read(4000).decode("utf-8", "replace")
    except InputError:
        return None
    found = re.search(r"\A---\n(?:.*\n)*?license:[ \t]*[\"']?([\w.+-]{1,60})", head.partition("\n---")[0])
    return public(found[1]) if found else None


def _is_foodieqa(place: Path) -> bool:
    return "foodieqa" in place.name.lower() or any((place / name).is_file() for name in _FOODIEQA_FILES)


def _number(record: Mapping[str, Any], name: str) -> float | None:
    value = record.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _whole(record: Mapping[str, Any], name: str) -> int | None:
    value = record.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
