"""The blocks of the key-value cache: who holds which, what each contains, which goes first when room is needed.

In: wishes for blocks, and the keys of full ones. Out: block ids. Knows no tensors, no requests and no tokens.

A block is held (by one sequence or several), cached (held by nobody, but its content has a key under which it may be
found again), clean (used before) or fresh. Clean blocks are given out first, the last one freed before all others, then
fresh ones, then the cached one that was longest unused. A fresh block may be memory that the system has not given yet:
what is busy stays as small as what was needed at once, and what is cached.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from itertools import islice

_STARTS_TRIED = 32


class BlockPool:
    """`num_blocks` blocks, all fresh at first."""

    def __init__(self, num_blocks: int) -> None:
        self.num_blocks = num_blocks
        self._holders = [0] * num_blocks
        self._key_of: list[bytes | None] = [None] * num_blocks
        self._by_key: dict[bytes, int] = {}
        self._fresh: OrderedDict[int, None] = OrderedDict.fromkeys(range(num_blocks))
        self._clean: OrderedDict[int, None] = OrderedDict()  # last freed last
        self._cached: OrderedDict[int, None] = OrderedDict()  # longest unused first
        self._cursor = 0

    @property
    def num_free(self) -> int:
        """Blocks that nobody holds."""
        return len(self._fresh) + len(self._clean) + len(self._cached)

    def allocate(self, held: Sequence[int], count: int, extent: int) -> list[int]:
        """`count` more blocks for a sequence that holds `held` and may come to hold `extent`.

        Where possible they follow the last one held: a sequence whose blocks lie in one run is read without a copy.
        A new sequence starts where one that has ended did, else where the new one before it would end at its longest,
        so that both have room to grow.
        """
        assert count <= self.num_free, f"{count} blocks are wanted, {self.num_free} are free"
        blocks: list[int] = []
        for _ in range(count):
            wish = (blocks or held)[-1] + 1 if blocks or held else self._start(extent)
            blocks.append(self._take(wish))
        return blocks

    def lookup(self, keys: Iterable[bytes]) -> list[int]:
        """The blocks of the longest beginning of `keys` that is cached or held."""
        found = []
        for key in keys:
            block = self._by_key.get(key)
            if block is None:
                break
            found.append(block)
        return found

    def hold(self, blocks: Iterable[int]) -> None:
        """One more holder for blocks that `lookup` found."""
        for block in blocks:
            self._cached.pop(block, None)
            self._holders[block] += 1

    def release(self, blocks: Sequence[int]) -> None:
        """One holder less. The last block goes first when room is needed: a beginning serves more than an end."""
        for block in reversed(blocks):
            self._holders[block] -= 1
            assert self._holders[block] >= 0, f"block {block} was released more often than held"
            if self._holders[block] == 0:
                (self._clean if self._key_of[block] is None else self._cached)[block] = None

    def publish(self, block: int, key: bytes) -> None:
        """A held block is full and computed: others may find it. Of two with equal content the first is found."""
        if key not in self._by_key and self._key_of[block] is None:
            self._by_key[key] = block
            self._key_of[block] = key

    def forget(self, blocks: Iterable[int]) -> None:
        """Nobody finds these blocks any more: what is in them is not to be trusted."""
        for block in blocks:
            key, self._key_of[block] = self._key_of[block], None
            if key is not None:
                del self._by_key[key]
            if block in self._cached:
                del self._cached[block]
                self._clean[block] = None

    def check_idle(self) -> None:
        """Assert that nobody holds a block and that every cached one has its key; takes no time."""
        assert self.num_free == self.num_blocks, f"{self.num_blocks - self.num_free} blocks are held by nobody"
        assert len(self._by_key) == len(self._cached), f"{len(self._by_key)} keys for {len(self._cached)} cached blocks"

    def check(self) -> None:
        """Assert that every block is in exactly one place, and every key at its block; looks at each."""
        for block, holders in enumerate(self._holders):
            places = (holders > 0, block in self._clean or block in self._fresh, block in self._cached)
            assert sum(places) == 1, f"block {block} is held, clean, cached: {places}"
            assert not places[1] or self._key_of[block] is None, f"clean block {block} has a key"
            assert not places[2] or self._key_of[block] is not None, f"cached block {block} has no key"
        assert not self._clean.keys() & self._fresh.keys(), "blocks are both clean and fresh"
        keys = {key: block for block, key in enumerate(self._key_of) if key is not None}
        assert keys == self._by_key, "keys and blocks do not agree"

    def _start(self, extent: int) -> int:
        """Where a new sequence of at most so many blocks begins: at the last freed run that has room for it."""
        for block in islice(reversed(self._clean), _STARTS_TRIED):
            last = block + extent - 1
            if block - 1 not in self._clean and (last in self._clean or last in self._fresh):
                return block
        wish, self._cursor = self._cursor, (self._cursor + extent) % self.num_blocks
        return wish

    def _take(self, wish: int) -> int:
        """The block that is wished for if it is clean or fresh, else the first that can go."""
        if wish in self._clean:
            del self._clean[wish]
            block = wish
        elif wish in self._fresh:
            del self._fresh[wish]
            block = wish
        elif self._clean:
            block, _ = self._clean.popitem()
        elif self._fresh:
            block, _ = self._fresh.popitem(last=False)
        else:
            block, _ = self._cached.popitem(last=False)
            key, self._key_of[block] = self._key_of[block], None
            assert key is not None, f"cached block {block} has no key"
            del self._by_key[key]
        self._holders[block] = 1
        return block
