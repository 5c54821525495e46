"""One run of the connector comparison: a fresh connector of one kind and seed, trained and measured at several points.

    PYTHONPATH=src python benchmarks/patterns_run.py RUN_FOLDER       which holds the job.json of connector_patterns.py

In: a job. Out: `result.json` in its folder. A run that was stopped, by SIGTERM or a kill, goes on where it was: what is
there already (start, alignment, checkpoints, answers) is not made again. Training is `ivl train`'s, accuracy `ivl
eval`'s.
"""

import dataclasses
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from food_story.answering import open_with_share
from patterns_align import AlignSettings, align_folder

from ivl.cli.renewing import renew
from ivl.evals.clusters import cluster_of
from ivl.evals.intervals import mean_interval
from ivl.evals.item import Subject
from ivl.evals.runner import evaluate
from ivl.evals.sets import open_sets
from ivl.evals.settings import EvalSettings
from ivl.model.config import ConnectorKind, QFormerConfig
from ivl.model.config_io import load_config
from ivl.model.connector_table import connector_shapes
from ivl.model.weights import load_model
from ivl.train.checkpoint import load_checkpoint
from ivl.train.config import TrainConfig
from ivl.train.launch import launch
from ivl.train.metrics import read_metrics
from ivl.train.output import MODEL_FOLDER, write_run_model
from ivl.train.recipe import load_recipe
from ivl.train.run_folder import list_checkpoints

RECIPES = Path(__file__).parents[1] / "recipes" / "patterns"
JOB, RESULT = "job.json", "result.json"


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """A way from vision to language."""

    connector: ConnectorKind
    is_aligned: bool = False
    """Whether a share of the samples goes into ITC + ITM + ITG first."""


PATTERNS = {
    "mlp": Pattern(connector="mlp"),
    "linear": Pattern(connector="linear"),
    "qformer": Pattern(connector="qformer", is_aligned=True),
    "qformer-direct": Pattern(connector="qformer"),
}
"""The last is a control: what the alignment is worth."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """All that decides a run; nothing else does."""

    pattern: str
    seed: int
    model: str
    data: str
    """Folder of train.jsonl and val.jsonl."""
    images: str
    samples: int
    """Of stage 1, a Q-Former's alignment included."""
    stage2_samples: int = 0
    points: int = 6
    """Checkpoints of each stage that are measured."""
    batch: int = 16
    align_share: float = 0.5
    """Of the samples, for the alignment of a Q-Former."""
    align_batch: int = 32
    lr: float | None = None
    """Of the connector in stage 1; None: the recipe's."""
    qformer: tuple[tuple[str, int], ...] = ()
    """Sizes; none: `sizes_for`."""
    sets: tuple[str, ...] = ("general",)
    limit: int | None = None
    workers: int = 2
    """Processes that read pictures."""
    device: str = "auto"
    cache_share: float = 0.2
    """Of free GPU memory that an evaluation may take: other runs are beside it."""

    @property
    def name(self) -> str:
        rate = "" if self.lr is None else f"-lr{self.lr:g}"
        return f"{self.pattern}{rate}-seed{self.seed}"


def sizes_for(model: Path, given: Sequence[tuple[str, int]]) -> QFormerConfig:
    """A Q-Former for a model: as many queries as the MLP gives tokens, as wide as the vision model, four layers."""
    config = load_config(model)
    vision = config.vision
    sizes = {
        "num_queries": dataclasses.replace(config, connector="mlp", qformer=None).tokens_per_tile,
        "hidden_size": vision.hidden_size,
        "num_layers": 4,
        "num_heads": vision.num_heads,
        "intermediate_size": 4 * vision.hidden_size,
    }
    return QFormerConfig(**(sizes | dict(given)))


def run(folder: Path) -> dict[str, Any]:
    """Do what is left of the run in `folder`; gives its result. Raises SystemExit where training was told to stop."""
    if (folder / RESULT).is_file():
        return json.loads((folder / RESULT).read_text("utf-8"))  # type: ignore[no-any-return]
    job = read_job(folder)
    pattern, start = PATTERNS[job.pattern], folder / "start"
    if not start.is_dir():
        sizes = sizes_for(Path(job.model), job.qformer) if pattern.connector == "qformer" else None
        renew(Path(job.model), start, pattern.connector, sizes, seed=job.seed)
    spent: dict[str, float] = {"samples": 0, "tiles": 0, "seconds": 0.0}
    aligned = _align(job, folder) if pattern.is_aligned else None
    if aligned is not None:
        start = folder / "aligned"
        spent = {"samples": aligned["samples"], "tiles": aligned["samples"], "seconds": aligned["seconds"]}
    steps = max(1, (job.samples - int(spent["samples"])) // job.batch)
    stages = [_stage(job, folder / "stage1", start, "stage1", steps, spent)]
    if job.stage2_samples:
        begun = {name: stages[0]["steps"][-1][name] for name in spent}
        steps = max(1, job.stage2_samples // job.batch)
        stages.append(_stage(job, folder / "stage2", folder / "stage1" / MODEL_FOLDER, "stage2", steps, begun))
    config = load_config(start)
    shapes = connector_shapes(config).values()
    result = {
        "job": asdict(job),
        "parameters": sum(torch.Size(shape).numel() for shape in shapes),
        "tokens_per_tile": config.tokens_per_tile,
        "qformer": None if config.qformer is None else asdict(config.qformer),
        "alignment": aligned,
        "stages": stages,
    }
    (folder / RESULT).write_text(json.dumps(result), "utf-8")
    for name in ("start", "aligned", "stage1", "stage2", "point"):
        shutil.rmtree(folder / name, ignore_errors=True)
    return result


def read_job(folder: Path) -> Job:
    """The job in a run's folder."""
    values = json.loads((folder / JOB).read_text("utf-8"))
    values["qformer"] = tuple((name, number) for name, number in values["qformer"])
    return Job(**values | {"sets": tuple(values["sets"])})


def _align(job: Job, folder: Path) -> dict[str, Any]:
    """What `aligned/alignment.json` says, once it is there."""
    done, partial_folder = folder / "aligned", folder / "aligned.partial"
    if not done.is_dir():
        shutil.rmtree(partial_folder, ignore_errors=True)
        settings = AlignSettings(samples=int(job.samples * job.align_share), batch=job.align_batch, seed=job.seed)
        device = _device(job)
        align_folder(
            folder / "start", Path(job.data) / "train.jsonl", Path(job.images), partial_folder, settings, device
        )
        partial_folder.rename(done)
    return json.loads((done / "alignment.json").read_text("utf-8"))  # type: ignore[no-any-return]


def _stage(job: Job, folder: Path, start: Path, recipe: str, steps: int, spent: dict[str, float]) -> dict[str, Any]:
    """Train a stage and measure its checkpoints; `spent` is what went before it."""
    config = _recipe(job, folder, start, recipe, steps)
    if not (folder / MODEL_FOLDER).is_dir():
        code = launch(dataclasses.replace(config, resume=bool(list_checkpoints(folder))), 1)
        if code:
            raise SystemExit(code)
    table = list(_spent(folder / "metrics.jsonl", spent))
    at = {row["step"]: row for row in table}
    points = [
        at[step] | _accuracy(job, folder.parent, start, step, path) | {"stage": recipe}
        for step, path in reversed(list_checkpoints(folder))
    ]
    losses = [
        {"step": each["step"], "loss": each["loss"]} | ((at.get(each["step"]) and _costs(at[each["step"]])) or spent)
        for each in read_metrics(folder / "metrics.jsonl")
        if each["kind"] == "validation"
    ]
    return {"stage": recipe, "lr": config.lr, "steps": table, "validations": losses, "points": points}


def _recipe(job: Job, folder: Path, start: Path, recipe: str, steps: int) -> TrainConfig:
    every = -(-steps // job.points)
    fields: dict[str, Any] = {
        "path": str(start),
        "work_dir": str(folder),
        "image_folder": job.images,
        "data_path": str(Path(job.data) / "train.jsonl"),
        "val_data_path": str(Path(job.data) / "val.jsonl"),
        "batch_size": job.batch,
        "max_steps": steps,
        "save_steps": every,
        "eval_steps": max(1, every // 4),
        "save_total_limit": job.points + 2,
        "seed": job.seed,
        "device": job.device,
        "dataloader_num_workers": job.workers,
    }
    if job.lr is not None and recipe == "stage1":
        fields["lr"] = job.lr
    return load_recipe(RECIPES / f"{recipe}.yaml", [f"{name}={json.dumps(value)}" for name, value in fields.items()])


def _spent(metrics: Path, before: dict[str, float]) -> Iterator[dict[str, float]]:
    """Each step's loss with samples, tiles and seconds so far. A resumed run's metrics hold each step once."""
    total = dict(before)
    for each in read_metrics(metrics):
        if each["kind"] == "step":
            for name, key in (("samples", "num_samples"), ("tiles", "num_tiles"), ("seconds", "seconds")):
                total[name] += each[key]
            yield {"step": each["step"], "loss": each["loss"], **total}


def _costs(row: dict[str, float]) -> dict[str, float]:
    return {name: row[name] for name in ("samples", "tiles", "seconds")}


def _accuracy(job: Job, folder: Path, start: Path, step: int, checkpoint: Path) -> dict[str, Any]:
    """The model of a checkpoint on the test sets; what was answered before is not asked again."""
    point, out = folder / "point", folder / "answers" / f"{checkpoint.parent.name}-{step}"
    shutil.rmtree(point, ignore_errors=True)
    model = load_model(start)
    tensors = dict(model.named_parameters()) | load_checkpoint(checkpoint).trained
    write_run_model(point, model.config, tensors, start)
    try:
        return measure(job, point, out)
    finally:
        shutil.rmtree(point, ignore_errors=True)


def measure(job: Job, model: Path, out: Path) -> dict[str, Any]:
    """Scores of a model folder: the mean over all items with its interval, each set's mean, every item's score."""
    settings = EvalSettings(limit=job.limit, max_tiles=1, device=job.device)
    sets = open_sets(list(job.sets))
    subject = Subject(name="model", folder=str(model))
    results = evaluate([subject], sets, settings, out, opener=partial(open_with_share, job.cache_share))
    scores, clusters, by_set = list[float](), list[Any](), dict[str, float]()
    for eval_set in results.sets:
        result = results.result(eval_set.name, "model")
        own = [each.score for each in result.predictions[0]]
        scores += own
        clusters += [cluster_of(item) for item in eval_set.items]
        by_set[eval_set.name] = sum(own) / len(own)
    numbers = {cluster: number for number, cluster in enumerate(dict.fromkeys(clusters))}
    return {
        "accuracy": asdict(mean_interval(scores, clusters)),
        "by_set": by_set,
        "scores": [round(score, 4) for score in scores],
        "clusters": [numbers[cluster] for cluster in clusters],
    }


def _device(job: Job) -> str:
    if job.device != "auto":
        return job.device
    return "cuda" if torch.cuda.is_available() else "cpu"


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(run(Path(sys.argv[1]))["job"])
