"""The fine-tunes of the food story: recipes, and `ivl train` on several of them at once.

In: data that `data.py` made, a model's folder. Out: OUT/recipes/NAME.yaml and OUT/runs/NAME, with the adapter.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from food_story.data import REPLAY_FILES, Places, food_sources
from food_story.processes import PYTHON, Command, num_cores, run_all


@dataclass(frozen=True, kw_only=True)
class Run:
    """One fine-tune."""

    name: str
    manner: str = "full"
    """Of the answers that it learns: full, terse; or grey, full answers to pictures that show nothing."""
    has_replay: bool = False
    sees: bool = False
    """Whether the vision model gets adapters too."""


RUNS = (
    Run(name="food-vision-replay", has_replay=True, sees=True),
    Run(name="food-replay", has_replay=True),
    Run(name="food"),
    Run(name="terse", manner="terse"),
    Run(name="grey", manner="grey"),
)
"""The longest first: the last one to end decides when all have."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What all runs share."""

    epochs: float = 2.0
    """Passes over the food data; replayed samples come on top."""
    steps: int | None = None
    """At most."""
    pack: int = 16_384
    """Tokens of a step."""
    rank: int = 32
    lr: float = 2e-3
    vision_lr: float = 1e-3
    replay_ratio: float = 0.5
    at_once: int = 3
    """Runs side by side."""
    device: str = "auto"


def train_all(runs: Sequence[Run], places: Places, model: Path, settings: Settings) -> dict[str, float]:
    """Train those of which there is no adapter yet; seconds by name."""
    todo = [run for run in runs if not (adapter_of(places, run) / "adapter_config.json").is_file()]
    at_once = min(settings.at_once, max(1, len(todo)))
    for run in todo:
        shutil.rmtree(places.out / "runs" / run.name, ignore_errors=True)
        write_recipe(recipe_of(places, run), recipe(run, places, model, settings, num_cores() // at_once))
    commands = [
        Command(
            name=f"train-{run.name}",
            words=[PYTHON, "-m", "ivl", "train", str(recipe_of(places, run))],
            log=places.log(f"train-{run.name}"),
        )
        for run in todo
    ]
    return run_all(commands, at_once)


def recipe(run: Run, places: Places, model: Path, settings: Settings, workers: int) -> dict[str, Any]:
    """The recipe of a run."""
    replay = [{"path": str((places.replay_data / name).resolve())} for name in REPLAY_FILES] if run.has_replay else []
    return {
        "path": str(model),
        "language_model": "lora",
        "vision_model": "lora" if run.sees else "frozen",
        "connector": "full",
        "r": settings.rank,
        "lora_alpha": 2 * settings.rank,
        "data_path": [
            {"path": str(records.resolve()), "image_folder": str(folder)}
            for records, folder in food_sources(places, run.manner)
        ],
        "replay_path": replay,
        "replay_ratio": settings.replay_ratio,
        "max_length": 2048,
        "packing": True,
        "pack_length": settings.pack,
        "dataloader_num_workers": max(1, workers),
        "max_epochs": settings.epochs,
        **({"max_steps": settings.steps} if settings.steps else {}),
        "lr": settings.lr,
        "vision_lr": settings.vision_lr,
        "connector_lr": settings.vision_lr,
        "weight_decay": 0.01,
        "warmup_ratio": 0.03,
        "lr_schedule": "cosine",
        "save_steps": 10**6,
        "log_steps": 10,
        "device": settings.device,
        "work_dir": str(places.out / "runs" / run.name),
    }


def write_recipe(path: Path, fields: dict[str, Any]) -> None:
    """YAML, a field a line: a JSON value is one of YAML's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name}: {json.dumps(value)}\n" for name, value in fields.items()), "utf-8")


def recipe_of(places: Places, run: Run) -> Path:
    return places.out / "recipes" / f"{run.name}.yaml"


def adapter_of(places: Places, run: Run) -> Path:
    return places.out / "runs" / run.name / "adapter"


def curve_of(places: Places, run: Run) -> dict[str, Any]:
    """What a run's metrics say at its end."""
    from ivl.train.metrics import read_metrics

    path = places.out / "runs" / run.name / "metrics.jsonl"
    steps = [each for each in read_metrics(path) if each["kind"] == "step"] if path.is_file() else []
    if not steps:
        return {}
    return {"steps": steps[-1]["step"], "loss": steps[-1]["loss"], "samples": steps[-1].get("num_samples")}
