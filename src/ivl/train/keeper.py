"""Saves a run as it stands, and puts it back as it stood.

In: a strategy that holds weights and optimizer, and what else a run remembers (`Progress`). Out: checkpoints, and from
one of them the same again. All ranks call everything here; the first one reads and writes. Knows no data and no loop.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from ivl.errors import TrainingError
from ivl.train.checkpoint import load_checkpoint, newest_checkpoint, save_checkpoint
from ivl.train.config import TrainConfig
from ivl.train.events import Saved
from ivl.train.output import check_same, needs_all, read_trained, write_result, write_run_adapter
from ivl.train.rank_main import config_to_json
from ivl.train.ranks import Ranks
from ivl.train.rotation import rotate
from ivl.train.run_folder import list_checkpoints
from ivl.train.strategies import Strategy

# What a resumed run may change without being another run; batches are compared by the plan's fingerprint.
_FREE = {
    "resume", "work_dir", "save_steps", "save_total_limit", "eval_steps", "eval_samples", "log_steps", "report_to",
    "timeout", "dataloader_num_workers", "activation_checkpointing", "compile", "device", "max_bad_share", "strategy",
    "data_root", "path", "batch_size", "accumulative_counts",
}  # fmt: skip


@dataclass
class Progress:
    """What a run remembers besides weights and optimizer."""

    step: int = 0
    num_dropped: int = 0
    """Samples left out so far because their pictures could not be read."""
    best_step: int | None = None
    best_loss: float | None = None
    """The lowest validation loss, and when it was."""


class Keeper:
    """The checkpoints of one run. plan: on the first rank, the fingerprint of what
    its steps see."""

    def __init__(self, config: TrainConfig, folder: Path, strategy: Strategy, ranks: Ranks, plan: str) -> None:
        self.config, self.folder, self.strategy, self.ranks, self.plan = config, folder, strategy, ranks, plan

    def save(self, progress: Progress) -> Saved | None:
        """Write the checkpoint of a step and let old ones go; gives what happened, on the first rank."""
        begun, main = time.perf_counter(), self.ranks.is_main
        trained = self._gathered(self.strategy.parameters)
        optimizer = self.strategy.optimizer_tensors(keep=main)
        saved = None
        if main:
            adapters = self.config.trains_adapters
            path = save_checkpoint(
                self.folder,
                progress.step,
                trained={} if adapters else trained,
                optimizer=optimizer,
                state=self._state(progress),
                write_output=partial(self._write_adapter, trained) if adapters else None,
            )
            rotate(self.folder, self.config.save_total_limit, progress.best_step)
            saved = Saved(step=progress.step, path=str(path), seconds=time.perf_counter() - begun)
        self.ranks.barrier()
        return saved

    def finish(self) -> str:
        """Write the run's result; gives its folder, on the first rank."""
        model, output = self.strategy.forward.model, ""
        wanted = dict(model.named_parameters()) if needs_all(self.config) else self.strategy.parameters
        tensors = self._gathered(wanted)
        if self.ranks.is_main:
            output = str(write_result(self.folder, self.config, model.config, tensors))
        self.ranks.barrier()
        return output

    def restore(self, path: Path) -> tuple[Progress, list[str]]:
        """Put weights and optimizer back as they were; gives the progress, and a line for each field that now differs.

        Raises TrainingError for a checkpoint of another run, CheckpointError for a damaged one.
        """
        checkpoint = load_checkpoint(path, verified=self.ranks.is_main)
        state = checkpoint.state
        if self.ranks.is_main and state.get("plan") != self.plan:
            raise TrainingError(
                f"{path} saw other data or other batches than this recipe gives (files, lengths, seed, batch size, "
                "ranks): resume needs the same, or begin a new run with load_from"
            )
        strategy = self.strategy
        trained = checkpoint.trained or read_trained(path, self.config)
        check_same(trained, {name: strategy.outline(each) for name, each in strategy.parameters.items()}, str(path))
        strategy.load_parameters(trained)
        strategy.load_optimizer_tensors(checkpoint.optimizer)
        progress = Progress(
            step=checkpoint.step,
            num_dropped=state.get("num_dropped", 0),
            best_step=state.get("best_step"),
            best_loss=state.get("best_loss"),
        )
        return progress, self._changes(state.get("recipe", {}))

    def _state(self, progress: Progress) -> dict[str, Any]:
        return {
            "plan": self.plan,
            "recipe": config_to_json(self.config),
            "best_step": progress.best_step,
            "best_loss": progress.best_loss,
            "num_dropped": progress.num_dropped,
        }

    def _changes(self, before: dict[str, Any]) -> list[str]:
        now = config_to_json(self.config)
        changed = [key for key in now if key not in _FREE and _listed(before.get(key)) != _listed(now[key])]
        return [f"resumed with another {key} than before: {before.get(key)} -> {now[key]}" for key in changed]

    def _write_adapter(self, trained: dict[str, Tensor], folder: Path) -> None:
        model = self.strategy.forward.model
        write_run_adapter(folder, self.config, model.config, trained, dict(model.named_parameters()))

    def _gathered(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Whole tensors on the first rank, nothing on the others."""
        found = {}
        for name, parameter in parameters.items():
            whole = self.strategy.gather(parameter)
            if self.ranks.is_main:
                found[name] = whole
        return found


def checkpoint_to_resume(config: TrainConfig, folder: Path, warnings: list[str]) -> str | None:
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


def _listed(value: object) -> object:
    """As JSON gives it back: tuples are lists there."""
    return [_listed(each) for each in value] if isinstance(value, list | tuple) else value
