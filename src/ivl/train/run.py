"""A run from its recipe to its result: puts data, model, ranks, checkpoints and observers together.

In: a recipe whose `path` is a model folder and whose `work_dir` is given. Out: an exit code, and in work_dir the
checkpoints, metrics.jsonl, the report, and at the end `adapter/` or `model/`.
"""

import contextlib
import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch

from ivl.data.example import PackedBatch
from ivl.data.run_data import RunData, load_run_data
from ivl.errors import SettingsError
from ivl.train.build import build_strategy
from ivl.train.config import TrainConfig
from ivl.train.costs import run_flops
from ivl.train.evaluation import answer_questions, validation_loss
from ivl.train.events import Notice, Observer, RunEnd, RunStart, StepEnd, Validation
from ivl.train.keeper import Keeper, Progress, checkpoint_to_resume
from ivl.train.observers import make_observers
from ivl.train.peaks import peak_flops
from ivl.train.ranks import Ranks, join_ranks
from ivl.train.run_folder import lock_run
from ivl.train.trackers import check_trackers
from ivl.train.trainer import Hooks, StepPlan, Trainer

T = TypeVar("T")


def run(config: TrainConfig) -> int:
    """Train on this process's rank; gives 0, or 143 (SIGTERM) or 130 (Ctrl-C) when it was told to stop and has saved.

    Raises every error of ours: what was saved before is whole, and `resume` goes on from it.
    """
    if not config.work_dir:
        raise SettingsError("work_dir is not given: a run needs a folder")
    check_trackers(config.report_to)
    folder = Path(config.work_dir)
    with join_ranks(config) as ranks, _locked(folder, ranks):
        warnings: list[str] = []
        begin = ranks.share(checkpoint_to_resume(config, folder, warnings) if ranks.is_main else None)
        ranks.beat(0, "reading data")
        data = _load_data(config, ranks)
        return _Run(config, ranks, folder, data, begin, warnings).go()


class _Run:
    """One rank's run while it lasts."""

    def __init__(
        self,
        config: TrainConfig,
        ranks: Ranks,
        folder: Path,
        data: RunData,
        begin: str | None,
        warnings: list[str],
    ) -> None:
        self.config, self.ranks, self.folder, self.data = config, ranks, folder, data
        self.begun = time.perf_counter()
        self.total_steps = data.planner.total_steps(config.max_epochs, config.max_steps)
        self.progress = Progress()
        self.told: set[str] = set()
        ranks.beat(0, "loading the model")
        self.strategy = build_strategy(config, ranks, data)
        self.keeper = Keeper(config, folder, self.strategy, ranks, data.fingerprint() if ranks.is_main else "")
        if begin is not None:
            self.progress, changes = self.keeper.restore(Path(begin))
            warnings += changes
        self.first_step = self.progress.step
        if self.first_step > self.total_steps:
            warnings.append(
                f"{self.first_step} steps are done, and max_steps or max_epochs asks for {self.total_steps}"
            )
        self.questions = data.questions(config.eval_samples)
        self.observers: list[Observer] = []
        if ranks.is_main:
            lines = [*data.train.summary(), *(data.validation.summary() if data.validation else ())]
            self.observers = make_observers(config, folder, self.first_step, lines)
        for line in warnings:
            self._tell(Notice(text=line))

    def go(self) -> int:
        with contextlib.ExitStack() as stack:
            for observer in self.observers:
                stack.callback(observer.close)
            return self._go()

    def _go(self) -> int:
        config = self.config
        model = self.strategy.forward.model
        device = _device_name(self.ranks.device)
        self._tell(
            RunStart(
                total_steps=self.total_steps,
                first_step=self.first_step,
                num_trainable=sum(self.strategy.outline(each).numel() for each in self.strategy.parameters.values()),
                num_parameters=sum(self.strategy.outline(each).numel() for each in model.parameters()),
                device=device,
                world_size=self.ranks.world_size,
                flops_per_second=peak_flops(device, self.strategy.forward.dtype),
            )
        )
        validates = self.data.validation is not None
        if validates and self.first_step == 0:
            self.ranks.beat(0, "validation")
            self._validate(0)
        hooks = Hooks(
            on_step=self._on_step,
            save=self._save,
            validate=self._validate if validates else None,
            flops=lambda batches: sum(run_flops(model.config, config, batch) for batch in batches),
            beat=self.ranks.beat,
        )
        trainer = Trainer(config, self.strategy, self.ranks, hooks, self.total_steps, self.progress.num_dropped)
        with contextlib.closing(self._plans()) as plans:
            last = trainer.run(plans, self.first_step)
        return 0 if self._finish(last) else 128 + trainer.stopped_by

    def _plans(self) -> Generator[StepPlan]:
        on_gpu = self.ranks.device.type == "cuda"
        with contextlib.closing(self.data.steps(self.first_step, on_gpu, self.strategy.forward.store)) as steps:
            for epoch, batches in steps:
                yield StepPlan(epoch=epoch, batches=batches)

    def _finish(self, last: int) -> bool:
        finished = last >= self.total_steps
        output = str(self.folder / f"checkpoint-{last}")
        if finished:
            self.ranks.beat(last, "writing the result")
            output = self.keeper.finish()
        seconds = time.perf_counter() - self.begun
        self._tell(RunEnd(step=last, finished=finished, output=output, seconds=seconds))
        return finished

    def _validate(self, step: int) -> None:
        module = self.strategy.module
        module.eval()
        alive = partial(self.ranks.beat, step, "validation")
        dropped: list[str] = []
        batches = _telling(self.data.validation_batches(), alive)
        loss = validation_loss(self.strategy, _noting(batches, dropped), self.ranks)
        for line in self.ranks.gather_lines(dropped):
            self._tell_once(f"left out of the validation: {line}")
        answers = answer_questions(self.strategy, _telling(self.questions, alive), self.ranks)
        progress = self.progress
        if step and math.isfinite(loss) and (progress.best_loss is None or loss < progress.best_loss):
            progress.best_step, progress.best_loss = step, loss
        self._tell(Validation(step=step, loss=loss, answers=answers))

    def _on_step(self, event: StepEnd | Notice) -> None:
        if isinstance(event, StepEnd):
            self.progress.num_dropped = event.num_dropped
        self._tell(event)
        fault, self.strategy.forward.store_fault = self.strategy.forward.store_fault, None
        if fault:
            self._tell(Notice(text=fault))

    def _save(self, step: int) -> None:
        self.progress.step = step
        saved = self.keeper.save(self.progress)
        if saved is not None:
            self._tell(saved)

    def _tell_once(self, text: str) -> None:
        if text not in self.told:
            self.told.add(text)
            self._tell(Notice(text=text))

    def _tell(self, event: Any) -> None:
        for observer in self.observers:
            observer(event)


def _noting(batches: Iterable[PackedBatch], dropped: list[str]) -> Iterator[PackedBatch]:
    """The batches; why samples are missing goes into `dropped`."""
    for batch in batches:
        dropped += batch.dropped
        yield batch


def _telling(items: Iterable[T], tell: Callable[[], None]) -> Iterator[T]:
    """The items, with a sign of life before each."""
    for item in items:
        tell()
        yield item


def _load_data(config: TrainConfig, ranks: Ranks) -> RunData:
    """The first rank measures; the others find what it has written to the cache."""

    def progress(name: str, done: int, total: int) -> None:
        ranks.beat(0, f"measuring {name}: {done} of {total}")

    def load() -> RunData:
        return load_run_data(config.path, config, rank=ranks.rank, world_size=ranks.world_size, on_progress=progress)

    if ranks.is_main:
        data = load()
        ranks.barrier()
        return data
    ranks.barrier()
    return load()


@contextlib.contextmanager
def _locked(folder: Path, ranks: Ranks) -> Iterator[None]:
    if not ranks.is_main:
        yield
        return
    with lock_run(folder):
        yield


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
