"""A run from its recipe to its result: puts data, model, ranks, checkpoints and observers together.

In: a recipe whose `path` is a model folder and whose `work_dir` is given. Out: an exit code, and in work_dir the
checkpoints, metrics.jsonl, the report, and at the end `adapter/` or `model/`.
"""

import contextlib
import time
from collections.abc import Generator, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from ivl.data.example import PackedBatch
from ivl.data.run_data import RunData, load_run_data
from ivl.errors import SettingsError, TrainingError
from ivl.train.build import build_strategy
from ivl.train.checkpoint import load_checkpoint, newest_checkpoint, save_checkpoint
from ivl.train.config import TrainConfig
from ivl.train.costs import StepCosts, step_costs
from ivl.train.evaluation import answer_questions, validation_loss
from ivl.train.events import Notice, Observer, RunEnd, RunStart, Saved, Validation
from ivl.train.observers import make_observers
from ivl.train.optimizer_state import load_optimizer_tensors, optimizer_tensors
from ivl.train.output import check_same, read_trained, write_result, write_run_adapter
from ivl.train.peaks import peak_flops
from ivl.train.rank_main import config_to_json
from ivl.train.ranks import Ranks, join_ranks
from ivl.train.rotation import rotate
from ivl.train.run_folder import list_checkpoints, lock_run
from ivl.train.trainer import Hooks, StepPlan, Trainer

STOPPED = 143
"""Exit code of a run that was told to stop and has saved: that of a process ended by SIGTERM."""
# What a resumed run may change without being another run.
_FREE = {
    "resume", "work_dir", "save_steps", "save_total_limit", "eval_steps", "eval_samples", "log_steps", "report_to",
    "timeout", "dataloader_num_workers", "activation_checkpointing", "compile", "device", "max_bad_share", "strategy",
    "data_root", "path", "batch_size", "accumulative_counts",
}  # fmt: skip


def run(config: TrainConfig) -> int:
    """Train on this process's rank; gives 0, or 143 when it was told to stop and has saved.

    Raises every error of ours: what was saved before is whole, and `resume` goes on from it.
    """
    if not config.work_dir:
        raise SettingsError("work_dir is not given: a run needs a folder")
    folder = Path(config.work_dir)
    with join_ranks(config) as ranks, _locked(folder, ranks):
        warnings: list[str] = []
        begin = ranks.share(_checkpoint_to_resume(config, folder, warnings) if ranks.is_main else None)
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
        self.best: dict[str, float] | None = None
        self.first_step = 0
        ranks.beat(0, "loading the model")
        self.strategy = build_strategy(config, ranks, data)
        if begin is not None:
            warnings += self._restore(Path(begin))
        self.questions = data.questions(config.eval_samples)
        self.observers: list[Observer] = []
        if ranks.is_main:
            lines = [*data.train.summary(), *(data.validation.summary() if data.validation else ())]
            self.observers = make_observers(config, folder, self.first_step, lines)
        for line in warnings:
            self._tell(Notice(text=line))

    def go(self) -> int:
        try:
            return self._go()
        finally:
            for observer in self.observers:
                observer.close()

    def _go(self) -> int:
        config = self.config
        model = self.strategy.forward.model
        costs = step_costs(model.config, config)
        device = _device_name(self.ranks.device)
        self._tell(
            RunStart(
                total_steps=self.total_steps,
                first_step=self.first_step,
                num_trainable=sum(each.numel() for each in self.strategy.parameters.values()),
                num_parameters=sum(each.numel() for each in model.parameters()),
                device=device,
                world_size=self.ranks.world_size,
                flops_per_second=peak_flops(
                    _device_name(self.ranks.device), str(self.strategy.forward.dtype).removeprefix("torch.")
                ),
            )
        )
        validates = self.data.validation is not None
        if validates and self.first_step == 0:
            self.ranks.beat(0, "validation")
            self._validate(0)
        hooks = Hooks(
            on_step=self._tell,
            save=self._save,
            validate=self._validate if validates else None,
            flops=lambda batches: sum(_flops(costs, batch) for batch in batches),
            beat=self.ranks.beat,
        )
        trainer = Trainer(config, self.strategy, self.ranks, hooks, self.total_steps)
        with contextlib.closing(self._plans()) as plans:
            last = trainer.run(plans, self.first_step)
        return self._finish(last)

    def _plans(self) -> Generator[StepPlan]:
        on_gpu = self.ranks.device.type == "cuda"
        for epoch, batches in self.data.steps(self.first_step, pin_memory=on_gpu):
            yield StepPlan(epoch=epoch, batches=batches)

    def _finish(self, last: int) -> int:
        finished = last == self.total_steps
        output = str(self.folder / f"checkpoint-{last}")
        if finished:
            self.ranks.beat(last, "writing the result")
            tensors = {name: self.strategy.gather(each.detach()) for name, each in self.strategy.parameters.items()}
            if self.ranks.is_main:
                output = str(write_result(self.folder, self.config, self.strategy.forward.model, tensors))
            self.ranks.barrier()
        seconds = time.perf_counter() - self.begun
        self._tell(RunEnd(step=last, finished=finished, output=output, seconds=seconds))
        return 0 if finished else STOPPED

    def _validate(self, step: int) -> None:
        module = self.strategy.module
        module.eval()
        loss = validation_loss(self.strategy, self.data.validation_batches(), self.ranks)
        answers = answer_questions(self.strategy, self.questions, self.ranks)
        if step and (self.best is None or loss < self.best["loss"]):
            self.best = {"step": step, "loss": loss}
        self._tell(Validation(step=step, loss=loss, answers=answers))

    def _save(self, step: int) -> None:
        """All ranks bring their shares; the first one writes."""
        begun, main = time.perf_counter(), self.ranks.is_main
        parameters = self.strategy.parameters
        trained = {name: self.strategy.gather(each.detach()) for name, each in parameters.items()}
        names = {parameter: name for name, parameter in parameters.items()}
        optimizer = optimizer_tensors(self.strategy.plain_optimizer, names, keep=main)
        if main:
            state: dict[str, Any] = {
                "plan": self.data.planner.fingerprint(),
                "recipe": config_to_json(self.config),
                "total_steps": self.total_steps,
                "best": self.best,
            }
            adapters = self.config.trains_adapters
            path = save_checkpoint(
                self.folder,
                step,
                trained={} if adapters else trained,
                optimizer=optimizer,
                state=state,
                write_output=partial(self._write_adapter, trained) if adapters else None,
            )
            rotate(self.folder, self.config.save_total_limit, None if self.best is None else int(self.best["step"]))
            self._tell(Saved(step=step, path=str(path), seconds=time.perf_counter() - begun))
        self.ranks.barrier()

    def _write_adapter(self, trained: dict[str, torch.Tensor], folder: Path) -> None:
        write_run_adapter(folder, self.config, self.strategy.forward.model, trained)

    def _restore(self, path: Path) -> list[str]:
        """Go on where the checkpoint stopped. Gives warnings. Raises TrainingError for another run's checkpoint."""
        checkpoint = load_checkpoint(path, verified=self.ranks.is_main)
        if checkpoint.state.get("plan") != self.data.planner.fingerprint():
            raise TrainingError(
                f"{path} saw other data or other batches than this recipe gives (files, lengths, seed, batch size, "
                "ranks): resume needs the same, or begin a new run with load_from"
            )
        parameters = self.strategy.parameters
        trained = checkpoint.trained or read_trained(path, self.config)
        self._load_parameters(trained, str(path))
        names = {parameter: name for name, parameter in parameters.items()}
        load_optimizer_tensors(self.strategy.plain_optimizer, checkpoint.optimizer, names)
        self.first_step, self.best = checkpoint.step, checkpoint.state.get("best")
        before, now = checkpoint.state.get("recipe", {}), config_to_json(self.config)
        changed = [key for key in now if key not in _FREE and _listed(before.get(key)) != _listed(now[key])]
        return [f"resumed with another {key} than before: {before.get(key)} -> {now[key]}" for key in changed]

    def _load_parameters(self, tensors: dict[str, torch.Tensor], where: str) -> None:
        parameters = self.strategy.parameters
        check_same(tensors, parameters, where)
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(self.strategy.scatter(tensors[name], parameter))

    def _tell(self, event: Any) -> None:
        for observer in self.observers:
            observer(event)


def _flops(costs: StepCosts, batch: PackedBatch) -> float:
    """Of one micro batch, forward and backward, nothing counted twice."""
    return costs.flops(
        num_tokens=batch.num_tokens,
        sum_squares=sum((stop - start) ** 2 for start, stop in pairwise(batch.offsets)) if batch.sample_ids else 0,
        num_labelled=int((batch.targets >= 0).sum()),
        num_tiles=batch.num_tiles,
    ).model


def _checkpoint_to_resume(config: TrainConfig, folder: Path, warnings: list[str]) -> str | None:
    """The checkpoint to go on from; raises TrainingError where the folder holds a run that nobody asked to resume."""
    if not config.resume:
        if list_checkpoints(folder):
            raise TrainingError(
                f"{folder} holds a run already: go on with --resume, or choose another folder with --out"
            )
        return None
    newest = newest_checkpoint(folder, warnings)
    if newest is None:
        warnings.append(f"{folder} holds no whole checkpoint: beginning at step 0")
    return None if newest is None else str(newest)


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


def _listed(value: object) -> object:
    """As JSON gives it back: tuples are lists there."""
    return [_listed(each) for each in value] if isinstance(value, list | tuple) else value


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
