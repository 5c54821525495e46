"""Which samples each rank takes in each micro batch of each step of an epoch.

In: every sample's length and tiles, and the recipe. Out: an `EpochPlan`. The same everywhere for the same numbers, so
ranks agree without a word and a resumed run goes on where it stopped. Knows no files and no tensors.
"""

import hashlib
import json
import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ivl.data.order import Samples, shuffled
from ivl.data.packing import cut_evenly, deal_packs, deal_samples, pack
from ivl.data.settings import DataSettings
from ivl.errors import DataError, SettingsError

Step = tuple[tuple[tuple[int, ...], ...], ...]
"""[micro][rank] -> sample indices, none where a rank has nothing to do."""
_Group = list[int]
_KEPT = 2
"""Plans held: of the epoch that runs and of the one that is prefetched."""


@dataclass(frozen=True, kw_only=True, eq=False)
class EpochPlan(Sequence[Step]):
    """An epoch: plan[step][micro][rank] is a tuple of sample indices. Held as two arrays, cut when asked."""

    samples: Samples
    """(M,) sample indices, slot after slot."""
    starts: Samples
    """(steps * micros * ranks + 1,) where each slot begins in `samples`."""
    num_micros: int
    num_ranks: int

    def __len__(self) -> int:
        return (len(self.starts) - 1) // (self.num_micros * self.num_ranks)

    @overload
    def __getitem__(self, step: int) -> Step: ...
    @overload
    def __getitem__(self, step: slice) -> list[Step]: ...
    def __getitem__(self, step: int | slice) -> Step | list[Step]:
        if isinstance(step, slice):
            return [self[each] for each in range(*step.indices(len(self)))]
        if not -len(self) <= step < len(self):
            raise IndexError(f"step {step} of an epoch of {len(self)}")
        first = (step % len(self)) * self.num_micros
        return tuple(
            tuple(self._slot(micro * self.num_ranks + rank) for rank in range(self.num_ranks))
            for micro in range(first, first + self.num_micros)
        )

    def __iter__(self) -> Iterator[Step]:
        return (self[step] for step in range(len(self)))

    def _slot(self, slot: int) -> tuple[int, ...]:
        return tuple(self.samples[self.starts[slot] : self.starts[slot + 1]].tolist())


class Planner:
    """Plans every epoch of a run.

    num_tokens, num_tiles: (M,) of each sample; 0 tokens where it cannot be used.
    members: the samples of an epoch, by its number; None: all usable ones. They are numbers of samples, one may come
    more than once, and their count is the same in every epoch.
    shuffle: False for validation: the members' own order.

    Raises SettingsError where a pack is shorter than a sample may be, DataError where nothing is usable.
    """

    def __init__(
        self,
        num_tokens: ArrayLike,
        num_tiles: ArrayLike,
        settings: DataSettings,
        world_size: int,
        *,
        shuffle: bool = True,
        members: Callable[[int], Samples] | None = None,
    ) -> None:
        assert world_size >= 1, f"world_size={world_size} is no number of ranks"
        if settings.packing and settings.token_budget < settings.max_length:
            raise SettingsError(
                f"pack_length={settings.pack_length} is below max_length={settings.max_length}: a sample may be longer "
                "than a pack; raise pack_length or lower max_length"
            )
        self.settings = settings
        self.world_size = world_size
        self.shuffle = shuffle
        self._num_tokens: NDArray[np.int32] = np.asarray(num_tokens, dtype=np.int32)
        self._num_tiles: NDArray[np.int32] = np.asarray(num_tiles, dtype=np.int32)
        assert self._num_tokens.shape == self._num_tiles.shape, "every sample has one length and one number of tiles"
        usable = np.flatnonzero(self._num_tokens > 0).astype(np.int64)
        self._members = members or (lambda _: usable)
        self._num_steps: dict[int, int] = {}
        self._plans: OrderedDict[int, EpochPlan] = OrderedDict()
        self._epoch_size = len(self._members(0))
        if not self._epoch_size:
            raise DataError("the data holds no usable sample: `ivl data check` names the reasons")

    @property
    def num_micros(self) -> int:
        """Micro batches of a step on each rank."""
        return self.settings.accumulative_counts

    def num_steps(self, epoch: int) -> int:
        """Steps of an epoch; the last one may be partial."""
        if not self.settings.packing:
            return math.ceil(self._epoch_size / self._samples_of_step)
        if epoch not in self._num_steps:
            self._num_steps[epoch] = len(self.epoch(epoch))
        return self._num_steps[epoch]

    def epoch(self, epoch: int) -> EpochPlan:
        """The plan of an epoch, counted from 0; its members each once."""
        if epoch not in self._plans:
            self._plans[epoch] = self._plan(epoch)
            if len(self._plans) > _KEPT:
                self._plans.popitem(last=False)
        return self._plans[epoch]

    def total_steps(self, max_epochs: float, max_steps: int | None = None) -> int:
        """Steps of a run of `max_epochs`, whose last epoch may be a share of one; at most `max_steps`."""
        whole = int(max_epochs)
        share = max_epochs - whole
        total = 0
        for epoch in range(whole + (share > 0)):
            steps = self.num_steps(epoch)
            total += steps if epoch < whole else math.ceil(share * steps - 1e-9)
            if max_steps is not None and total >= max_steps:
                return max_steps
        return max(total, 1)

    def locate(self, step: int) -> tuple[int, int]:
        """The epoch, and the step in it, of the run's step `step`, all counted from 0."""
        epoch = 0
        while step >= self.num_steps(epoch):
            step -= self.num_steps(epoch)
            epoch += 1
        return epoch, step

    def fingerprint(self) -> str:
        """Hex digest of all that decides which samples a step sees: equal in a run that may go on from another's
        steps. The number of ranks counts only as far as it changes a step.
        """
        settings = self.settings
        facts = {
            "step": self.num_micros * self.world_size if settings.packing else self._samples_of_step,
            "budget": settings.token_budget if settings.packing else None,
            "seed": settings.seed,
            "shuffle": self.shuffle,
            "samples": len(self._num_tokens),
        }
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
        for array in (self._num_tokens, self._num_tiles, self._members(0), self._members(1)):
            digest.update(array.astype("<i8").tobytes())
        return digest.hexdigest()

    @property
    def _samples_of_step(self) -> int:
        return self.settings.batch_size * self.num_micros * self.world_size

    def _plan(self, epoch: int) -> EpochPlan:
        order = self._members(epoch)
        assert len(order) == self._epoch_size, f"{len(order)} members, not {self._epoch_size} as in epoch 0"
        if self.shuffle:
            order = order[shuffled(len(order), "samples", self.settings.seed, epoch)]
        slots = self._packed(order, epoch) if self.settings.packing else self._batched(order)
        starts = np.cumsum([0, *map(len, slots)], dtype=np.int64)
        samples = np.fromiter((sample for slot in slots for sample in slot), np.int64, int(starts[-1]))
        return EpochPlan(samples=samples, starts=starts, num_micros=self.num_micros, num_ranks=self.world_size)

    def _batched(self, order: Samples) -> list[_Group]:
        """Slots of at most batch_size samples. Which samples a step sees depends only on their order and number."""
        slots: list[_Group] = []
        for start in range(0, len(order), self._samples_of_step):
            chosen: _Group = order[start : start + self._samples_of_step].tolist()
            used = math.ceil(len(chosen) / (self.settings.batch_size * self.world_size)) * self.world_size
            if self.settings.group_by_length:
                lengths = self._num_tokens[chosen].tolist()
                groups = deal_samples(lengths, used, self.settings.batch_size)
            else:
                groups = cut_evenly(len(chosen), used)
            slots += [[chosen[place] for place in group] for group in groups]
            slots += [[] for _ in range(self.num_micros * self.world_size - used)]
        return slots

    def _packed(self, order: Samples, epoch: int) -> list[_Group]:
        """Slots of one pack each, those of a step dealt out by their tiles."""
        samples: _Group = order.tolist()
        packs = pack(self._num_tokens[order].tolist(), self.settings.token_budget)
        if self.shuffle:  # the longest samples of a window come first otherwise
            packs = [packs[place] for place in shuffled(len(packs), "packs", self.settings.seed, epoch)]
        tiles: _Group = self._num_tiles[order].tolist()
        slots: list[_Group] = []
        per_step = self.num_micros * self.world_size
        for start in range(0, len(packs), per_step):
            chosen = packs[start : start + per_step]
            micros = deal_packs([sum(tiles[place] for place in each) for each in chosen], self.world_size)
            dealt = [[] if each is None else chosen[each] for micro in micros for each in micro]
            slots += [[samples[place] for place in each] for each in dealt]
            slots += [[] for _ in range(per_step - len(dealt))]
        return slots
