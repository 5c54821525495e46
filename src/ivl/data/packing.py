"""How samples fill micro batches: packs of a token budget, and fair shares of work. Pure numbers.

In: lengths and numbers of tiles. Out: places in those lists, grouped. Deterministic. Knows no files, no epochs and
no tensors.
"""

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

WINDOW = 4096
"""Samples that are packed together: enough to find partners, few enough that partners change with the order."""
_FULL = 0.97
"""A pack filled to this share is not held open for the next window's samples."""


@dataclass
class _Pack:
    """A pack that is being filled."""

    room: int
    members: list[int] = field(default_factory=list)


def pack(lengths: Sequence[int], budget: int, *, window: int = WINDOW) -> list[list[int]]:
    """Packs of at most `budget` tokens, each a list of places in `lengths`; every place is in exactly one pack.

    lengths: (M,) tokens of each sample, in the order in which they are to be used; none is above `budget`.
    In each window of that order the longest go first, each into the pack that it fills best (best-fit decreasing,
    Johnson 1973); packs that stay rather empty are offered to the next window once.
    """
    carried: list[_Pack] = []
    packs: list[list[int]] = []
    for start in range(0, len(lengths), window):
        places = range(start, min(start + window, len(lengths)))
        opened = _fill(sorted(places, key=lambda place: -lengths[place]), lengths, budget, carried)
        packs += [each.members for each in carried]
        carried = [each for each in opened if each.room > (1 - _FULL) * budget]
        packs += [each.members for each in opened if each.room <= (1 - _FULL) * budget]
    return packs + [each.members for each in carried]


def _fill(places: Sequence[int], lengths: Sequence[int], budget: int, carried: Sequence[_Pack]) -> list[_Pack]:
    """Puts the places into the carried packs and new ones; gives the new ones."""
    packs = list(carried)
    rooms = sorted((each.room, index) for index, each in enumerate(packs))
    for place in places:
        length = lengths[place]
        assert 0 < length <= budget, f"a sample of {length} tokens does not fit the pack of {budget}"
        best = bisect_left(rooms, (length, -1))
        if best < len(rooms):
            index = rooms.pop(best)[1]
        else:
            index = len(packs)
            packs.append(_Pack(room=budget))
        packs[index].members.append(place)
        packs[index].room -= length
        if packs[index].room:
            insort(rooms, (packs[index].room, index))
    return packs[len(carried) :]


def deal_packs(weights: Sequence[int], num_ranks: int) -> list[list[int | None]]:
    """[micro][rank] places in `weights`, each once, None where there is none left; as few micros as can be.

    The packs of one micro weigh alike, so that no rank waits long for another, and what a rank has had before
    decides who takes the heaviest.
    """
    order = sorted(range(len(weights)), key=lambda place: -weights[place])
    loads = [0] * num_ranks
    micros: list[list[int | None]] = []
    for start in range(0, len(order), num_ranks):
        micro: list[int | None] = [None] * num_ranks
        ranks = sorted(range(num_ranks), key=lambda rank: loads[rank])
        for rank, place in zip(ranks, order[start : start + num_ranks], strict=False):
            micro[rank] = place
            loads[rank] += weights[place]
        micros.append(micro)
    return micros


def deal_samples(lengths: Sequence[int], num_slots: int, capacity: int) -> list[list[int]]:
    """`num_slots` lists of at most `capacity` places each, with about equally many tokens in each.

    The longest go first, each to the slot with the fewest tokens that has a place left, as the official trainer's
    LengthGroupedSampler does with one step's samples.
    """
    assert len(lengths) <= num_slots * capacity, f"{len(lengths)} samples for {num_slots} slots of {capacity}"
    slots: list[list[int]] = [[] for _ in range(num_slots)]
    loads = [0] * num_slots
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        slot = min((index for index in range(num_slots) if len(slots[index]) < capacity), key=loads.__getitem__)
        slots[slot].append(place)
        loads[slot] += lengths[place]
    return slots


def cut_evenly(count: int, num_slots: int) -> list[list[int]]:
    """The places from 0 to count - 1 in their order, cut into `num_slots` runs whose sizes differ by at most 1."""
    ends = [count * slot // num_slots for slot in range(num_slots + 1)]
    return [list(range(start, stop)) for start, stop in pairwise(ends)]
