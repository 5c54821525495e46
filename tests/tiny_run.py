"""Whole runs on a tiny random model: small data, a recipe, and what a run leaves behind."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import PIL.Image
import torch
from torch import Tensor

from ivl.data.settings import DataSource
from ivl.train.checkpoint import load_checkpoint
from ivl.train.config import TrainConfig
from ivl.train.launch import launch
from ivl.train.metrics import read_metrics
from ivl.train.output import ADAPTER_FOLDER, MODEL_FOLDER
from ivl.train.run_folder import list_checkpoints

SIZES = ((56, 56), (112, 56), (60, 130), (90, 90), (168, 60))
"""Of pictures, which the model sees as one to four tiles."""
ANSWERS = ("ab", "c d", "no", "a red one", "it is green and round", "dish")
VOLATILE = ("time", "seconds", "data_seconds", "memory_bytes", "tokens_per_second", "samples_per_second", "mfu")
"""What differs in the metrics of two runs that did the same."""


def write_data(folder: Path, count: int = 24, name: str = "data.json") -> Path:
    """A LLaVA JSON of `count` records of unlike length, every fourth of them without a picture; gives its path."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    records = []
    for number in range(count):
        record: dict[str, Any] = {"id": f"s{number}"}
        asked = "what " * (1 + number % 3) + "is it?"
        if number % 4 != 3:
            record["image"] = f"images/{number:03}.png"
            noise = torch.randint(256, (8, 8, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(number))
            size = SIZES[number % len(SIZES)]
            PIL.Image.fromarray(noise.numpy()).resize(size).save(folder / record["image"])
            asked = f"<image>\n{asked}"
        answer = ANSWERS[number % len(ANSWERS)]
        record["conversations"] = [{"from": "human", "value": asked}, {"from": "gpt", "value": answer}]
        records.append(record)
    path = folder / name
    path.write_text(json.dumps(records), "utf-8")
    return path


def cut_picture(data: Path, number: int) -> None:
    """Leave half of a picture's bytes: its size can be read, its pixels cannot."""
    path = data.parent / f"images/{number:03}.png"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def recipe(model: Path, data: Path, work_dir: Path, **changes: object) -> TrainConfig:
    """A run of 6 steps of 4 samples that finds its way in seconds."""
    values: dict[str, Any] = {
        "path": str(model),
        "data_path": (DataSource(path=str(data)),),
        "work_dir": str(work_dir),
        "dataloader_num_workers": 0,
        "device": "cpu",
        "batch_size": 4,
        "max_length": 512,
        "max_dynamic_patch": 4,
        "r": 4,
        "lora_alpha": 8,
        "lora_dropout": 0.0,
        "lr": 1e-3,
        "warmup_ratio": 0.0,
        "timeout": 60,
        "max_epochs": 1,
    }
    return TrainConfig(**(values | changes))


@dataclass(frozen=True, kw_only=True)
class Result:
    """A run that has ended."""

    code: int
    folder: Path
    records: list[dict[str, Any]]
    """Of metrics.jsonl."""
    files: dict[str, dict[str, Tensor]]
    """All tensors of the newest checkpoint, by file."""

    @property
    def losses(self) -> list[float]:
        return [each["loss"] for each in self.records if each["kind"] == "step"]

    @property
    def validations(self) -> list[float]:
        return [each["loss"] for each in self.records if each["kind"] == "validation"]

    @property
    def notices(self) -> list[str]:
        return [each["text"] for each in self.records if each["kind"] == "notice"]

    @property
    def steps(self) -> list[dict[str, Any]]:
        """The lines of steps and validations, without what no two runs share."""
        told = [each for each in self.records if each["kind"] in ("step", "validation")]
        return [{key: value for key, value in each.items() if key not in VOLATILE} for each in told]

    @property
    def trained(self) -> dict[str, Tensor]:
        """What trained, by the names that the newest checkpoint stores."""
        return {
            name: tensor for file, table in self.files.items() if file != "optimizer" for name, tensor in table.items()
        }

    @property
    def optimizer(self) -> dict[str, Tensor]:
        return self.files["optimizer"]

    @property
    def output(self) -> Path:
        """The folder of the run's result."""
        adapter = self.folder / ADAPTER_FOLDER
        return adapter if adapter.exists() else self.folder / MODEL_FOLDER


def result(folder: Path, code: int = 0) -> Result:
    """What a run has left in its folder."""
    from safetensors.torch import load_file

    found = list_checkpoints(folder)
    files: dict[str, dict[str, Tensor]] = {}
    if found:
        load_checkpoint(found[0][1])  # it is whole
        files = {path.stem: load_file(path) for path in found[0][1].glob("*.safetensors")}
    metrics = folder / "metrics.jsonl"
    return Result(code=code, folder=folder, records=read_metrics(metrics) if metrics.exists() else [], files=files)


def train(config: TrainConfig) -> Result:
    """Run in this process. Raises what the run raises."""
    assert config.work_dir is not None
    return result(Path(config.work_dir), launch(config, 1))


@contextmanager
def parameters_seen() -> Iterator[list[tuple[dict[str, Tensor], dict[str, Tensor]]]]:
    """All parameters of the models of the runs within, as (before, after) the steps, by name."""
    from ivl.train.trainer import Trainer

    seen: list[tuple[dict[str, Tensor], dict[str, Tensor]]] = []
    run = Trainer.run

    def watched(self: Trainer, *arguments: Any) -> int:
        model = self.strategy.forward.model
        before = {name: each.detach().clone() for name, each in model.named_parameters()}
        try:
            return run(self, *arguments)
        finally:
            seen.append((before, {name: each.detach().clone() for name, each in model.named_parameters()}))

    Trainer.run = watched  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        Trainer.run = run  # type: ignore[method-assign]
