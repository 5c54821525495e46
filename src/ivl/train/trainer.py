"""The training loop: batches in, steps, validations and checkpoints out.

In: a strategy that holds the model and its optimizer, batches of this rank, and what to call when something has
happened. Knows no formats of data, no files of checkpoints and nothing of how a run is told.

Everything random is a function of (seed, step, micro batch, rank), so a run that goes on from step n is the run that
never stopped: no random state has to be saved. Losses are divided by the weight of the whole step over all ranks before
the backward: accumulation and ranks change nothing but the order of additions.
"""

import hashlib
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType

import torch
from torch import Tensor

from ivl.data.example import PackedBatch
from ivl.errors import TrainingError
from ivl.train.config import TrainConfig
from ivl.train.evaluation import run_forward
from ivl.train.events import Notice, StepEnd
from ivl.train.forward import first_bad_sample
from ivl.train.ranks import Ranks
from ivl.train.schedule import lr_factor
from ivl.train.strategies import Strategy

_PASSED_OVER = 3
"""Steps in a row that may find all their samples unreadable."""
MicroBatches = Sequence[PackedBatch]
_NAMED = 100
"""Samples left out that a run names; all are counted."""


@dataclass(frozen=True, kw_only=True)
class StepPlan:
    """One step's work on this rank."""

    epoch: float
    """Share of the data seen after this step, in epochs."""
    batches: MicroBatches


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """What the loop calls; each is called on all ranks alike."""

    on_step: Callable[[StepEnd | Notice], None]
    """Also told, before the step it belongs to, which samples were left out."""
    save: Callable[[int], None]
    validate: Callable[[int], None] | None
    flops: Callable[[MicroBatches], float]
    """Of this rank's micro batches, forward and backward."""
    beat: Callable[[int, str], None]
    """A sign of life: the step and what is being done."""


class Trainer:
    """Runs the steps of one rank."""

    def __init__(
        self,
        config: TrainConfig,
        strategy: Strategy,
        ranks: Ranks,
        hooks: Hooks,
        total_steps: int,
        num_dropped: int = 0,
    ) -> None:
        self.config = config
        self.strategy = strategy
        self.ranks = ranks
        self.hooks = hooks
        self.total_steps = total_steps
        self.num_dropped = num_dropped
        self.stopped_by = signal.SIGTERM
        """What told this rank to stop, if anything did."""
        self._named: set[str] = set()
        self._num_passed_over = 0

    def run(self, plans: Iterator[StepPlan], first_step: int) -> int:
        """Do the steps after `first_step`; gives the number of the last one done.

        A SIGTERM or SIGINT ends the run after the step at hand and a checkpoint. Raises TrainingError for a loss or
        gradient that is no number, naming the sample; the weights are those of the step before then.
        """
        config, saved = self.config, first_step
        step = first_step
        with _Stop() as stop:
            while step < self.total_steps:
                begun = time.perf_counter()
                self.hooks.beat(step + 1, "data")
                plan = next(plans)
                waited = time.perf_counter() - begun
                step += 1
                end, told = self._step(step, plan, begun, waited, stop)
                if end is not None:
                    self.hooks.on_step(end)
                last = step == self.total_steps
                if self.hooks.validate and (last or step % (config.eval_steps or config.save_steps) == 0):
                    self.hooks.beat(step, "validation")
                    self.hooks.validate(step)
                if last or told or step % config.save_steps == 0:
                    self.hooks.beat(step, "saving")
                    self.hooks.save(step)
                    saved = step
                if told:
                    self.stopped_by = stop.asked_by
                    break
        assert saved == step, f"the last step {step} was not saved"
        return step

    def _step(
        self, step: int, plan: StepPlan, begun: float, waited: float, stop: "_Stop"
    ) -> tuple[StepEnd | None, bool]:
        """One step, if it had any samples, and whether any rank was told to stop."""
        device = self.ranks.device
        batches = plan.batches
        weight, samples, tokens, tiles, dropped, flops = self.ranks.all_sum(self._counts(batches).to(device)).tolist()
        self.num_dropped += int(dropped)
        reasons = self.ranks.gather_lines([line for batch in batches for line in batch.dropped]) if dropped else []
        self._name_dropped(reasons)
        if weight == 0:
            return None, self._pass_over(step, reasons, stop)
        self._num_passed_over = 0
        self.strategy.module.train()
        self.hooks.beat(step, "forward and backward")
        loss, seen = torch.zeros((), dtype=torch.float64, device=device), []
        for index, batch in enumerate(batches):
            torch.manual_seed(_seed(self.config.seed, step, index, self.ranks.rank))
            with self.strategy.micro_batch(last=index == len(batches) - 1):
                total, losses = run_forward(self.strategy, batch, device, scale=1 / weight)
                self.strategy.backward(total)
            loss += total.detach().double()
            seen.append(losses)
        norm = self.strategy.clip(self.config.max_norm)
        wish = torch.tensor(float(stop.is_asked), dtype=loss.dtype, device=device)
        mean, told = self.ranks.all_sum(torch.stack([loss, wish])).tolist()
        self._check(step, mean, norm, batches, seen)
        lr = self.strategy.step(lr_factor(step - 1, self.total_steps, self.config))
        return StepEnd(
            step=step,
            epoch=plan.epoch,
            loss=mean,
            lr=lr,
            grad_norm=norm,
            num_samples=int(samples),
            num_tokens=int(tokens),
            num_tiles=int(tiles),
            seconds=time.perf_counter() - begun,
            data_seconds=waited,
            flops=flops,
            memory_bytes=_memory(device),
            num_dropped=self.num_dropped,
        ), told > 0

    def _pass_over(self, step: int, reasons: Sequence[str], stop: "_Stop") -> bool:
        """A step whose samples are all left out changes nothing; whether any rank was told to stop.

        Raises TrainingError for several in a row: then it is not the data, but the disk they are on.
        """
        self._num_passed_over += 1
        if not reasons or self._num_passed_over > _PASSED_OVER:
            why = reasons[0] if reasons else "no sample has a trained token"
            raise TrainingError(f"step {step} has nothing to train: {why}")
        self.hooks.on_step(Notice(text=f"step {step} changes nothing: all of its samples are left out"))
        return float(self.ranks.all_sum(torch.tensor(float(stop.is_asked), dtype=torch.float64))) > 0

    def _counts(self, batches: MicroBatches) -> Tensor:
        """This rank's weight, samples, tokens, tiles, dropped samples and FLOPs: one reduction for all."""
        return torch.tensor(
            [
                sum(float(batch.weights.double().sum()) for batch in batches),
                sum(batch.num_samples for batch in batches),
                sum(batch.num_tokens for batch in batches),
                sum(batch.num_tiles for batch in batches),
                sum(len(batch.dropped) for batch in batches),
                self.hooks.flops(batches),
            ],
            dtype=torch.float64,
        )

    def _check(self, step: int, loss: float, norm: float, batches: MicroBatches, seen: Sequence[Tensor]) -> None:
        """Raise TrainingError, before the weights change, unless loss and gradient norm are numbers."""
        if torch.tensor([loss, norm]).isfinite().all():
            return
        found = [first_bad_sample(losses, batch.spans()) for batch, losses in zip(batches, seen, strict=True)]
        bad = self.ranks.gather_lines([name for name in found if name is not None])
        if bad:
            raise TrainingError(
                f"step {step}: the loss of sample {bad[0]} is not a number; look at it with `ivl data check`, "
                "lower lr or max_norm, and go on with --resume from the last checkpoint"
            )
        names = ", ".join(self.ranks.gather_lines([name for batch in batches for name in batch.sample_ids]))
        raise TrainingError(
            f"step {step}: the loss is {loss:g} and the gradient's norm {norm:g}; its samples: {names:.300}; lower lr "
            "or max_norm, and go on with --resume"
        )

    def _name_dropped(self, reasons: Sequence[str]) -> None:
        """Tell of each sample once why it is left out, and once that there are too many to tell."""
        for reason in reasons:
            if reason in self._named or len(self._named) > _NAMED:
                continue
            self._named.add(reason)
            told = f"left out: {reason}"
            if len(self._named) > _NAMED:
                told = "more samples are left out and counted, but no longer named: `ivl data check` names them all"
            self.hooks.on_step(Notice(text=told))


class _Stop:
    """Turns the first SIGTERM or SIGINT into a wish that the loop can ask for; the second SIGINT interrupts at once."""

    def __init__(self) -> None:
        self.is_asked = False
        self.asked_by = signal.SIGTERM  # also where another rank was asked
        self._before: dict[int, object] = {}

    def __enter__(self) -> "_Stop":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.is_asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.is_asked, self.asked_by = True, signal.Signals(number)


def _seed(*numbers: int) -> int:
    """A seed for torch from several numbers, the same on every platform."""
    digest = hashlib.sha256(",".join(map(str, numbers)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def _memory(device: torch.device) -> int:
    """Peak bytes on a GPU since the start; of a process on a CPU."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
