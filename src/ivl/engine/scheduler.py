"""Who runs in the next step, and how far.

In: sequences that arrive, finish or are aborted. Out: for each step the chunks of tokens to compute. Decides by counts
alone; knows no tensors.

- Every running answer gets its next token in every step; the step's budget of prompt tokens goes to prompts, in chunks.
- Of several prompts the shortest rest goes first, but the one that came first has a quarter of the budget for itself:
  neither waits for ever.
- A sequence enters when its whole prompt has room. Where an answer then finds no block, the sequence that ranks last
  gives its blocks back and computes its tokens anew later.
- A prompt whose beginning another sequence is computing at this moment waits for it rather than compute it twice.
"""

from ivl.engine.block_pool import BlockPool
from ivl.engine.sequence import Chunk, Sequence


class Scheduler:
    """Shares the blocks of `pool` and `max_prefill` prompt tokens a step among at most `max_running` sequences."""

    def __init__(self, pool: BlockPool, max_running: int, max_prefill: int, share_prefixes: bool) -> None:
        self.pool = pool
        self.max_running = max_running
        self.max_prefill = max_prefill
        self.share_prefixes = share_prefixes
        self.waiting: dict[int, Sequence] = {}
        self.running: dict[int, Sequence] = {}
        self.num_preemptions = 0
        self.num_shared_tokens = 0
        self._underway: dict[bytes, Sequence] = {}
        """Keys of blocks that a running sequence is about to compute."""

    def add(self, sequence: Sequence) -> None:
        """Let a sequence wait for its turn."""
        self.waiting[sequence.id] = sequence

    def remove(self, sequence: Sequence) -> None:
        """It finished, failed or was aborted: all it held is free."""
        if self.waiting.pop(sequence.id, None) is None:
            del self.running[sequence.id]
            self._give_back(sequence)

    def schedule(self) -> list[Chunk]:
        """The chunks of the next step: the decoding sequences first, then the prompts."""
        for sequence in sorted((s for s in self.running.values() if s.is_decoding), key=_rank):
            if sequence.id in self.running:  # unless it had to make room for one before it
                self._make_room(sequence)
        decoding = [_chunk(s, 1) for s in self.running.values() if s.is_decoding]
        return decoding + [_chunk(sequence, share) for sequence, share in self._prompts().items()]

    def computed(self, chunk: Chunk) -> None:
        """A chunk's keys and values are in the cache."""
        chunk.sequence.num_computed = chunk.stop

    def publish(self, sequence: Sequence) -> None:
        """Let others find its full blocks: it got a token from finite logits, so what it computed is finite."""
        first, last = sequence.num_published, sequence.num_computed // sequence.block_size
        if self.share_prefixes and first < last:
            for block, key in zip(sequence.blocks[first:last], sequence.keys(last)[first:], strict=True):
                self.pool.publish(block, key)
                if self._underway.get(key) is sequence:
                    del self._underway[key]
            sequence.num_published = last

    def distrust(self, sequence: Sequence) -> None:
        """What a sequence computed or read is not to be shared any more."""
        self.pool.forget(sequence.blocks)

    def check_idle(self) -> None:
        """Assert that without sequences every block is free and in its place."""
        assert not self.running, f"{len(self.running)} sequences run"
        assert not self._underway, f"{len(self._underway)} blocks are being computed by nobody"
        self.pool.check_idle()

    def _prompts(self) -> dict[Sequence, int]:
        """How many tokens of which prompts are computed in this step."""
        prompts = [s for s in self.running.values() if not s.is_decoding]
        if len(self.running) < self.max_running:
            prompts += self.waiting.values()
        if not prompts:
            return {}
        oldest, budget, may_enter = min(prompts, key=_rank), self.max_prefill, True
        shares: dict[Sequence, int] = {}
        # Where it waits for another to compute its beginning, its quarter helps that one along, unless that one was
        # preempted and has only its answer's last token left, which it gets anyway.
        leader = self._leader(oldest)
        turns = [(leader if leader and not leader.is_decoding else oldest, -(-budget // 4))]
        turns += [(s, budget) for s in sorted(prompts, key=lambda s: (s.request.priority, s.num_left, s.id))]
        for sequence, most in turns:
            if budget == 0:
                break  # who cannot begin now need not hold blocks yet
            if sequence.id in self.waiting:
                if not may_enter or self._leader(sequence):
                    continue
                may_enter = self._enter(sequence)  # nobody overtakes a sequence that waits for memory
                if not may_enter:
                    continue
            share = min(sequence.num_left - shares.get(sequence, 0), most, budget)
            if share > 0:
                shares[sequence] = shares.get(sequence, 0) + share
                budget -= share
        return shares

    def _shareable(self, sequence: Sequence) -> list[bytes]:
        """The keys of the blocks that it need not compute if they are found; its last token is always computed."""
        return sequence.keys((len(sequence.tokens) - 1) // sequence.block_size) if self.share_prefixes else []

    def _leader(self, sequence: Sequence) -> Sequence | None:
        """Who is just computing the next block that a waiting sequence needs; it runs."""
        if sequence.id in self.running:
            return None
        keys = self._shareable(sequence)
        found = len(self.pool.lookup(keys))
        return self._underway.get(keys[found]) if found < len(keys) else None

    def _enter(self, sequence: Sequence) -> bool:
        """Give a waiting sequence what is cached of its tokens and blocks for the rest; False where there are none."""
        keys = self._shareable(sequence)
        shared = self.pool.lookup(keys)
        self.pool.hold(shared)
        missing = sequence.blocks_for(len(sequence.tokens)) - len(shared)
        if missing > self.pool.num_free or len(self.running) >= self.max_running:
            self.pool.release(shared)
            return False
        extent = sequence.blocks_for(sequence.bound) - len(shared)
        sequence.blocks = shared + self.pool.allocate(shared, missing, extent)
        sequence.num_entries += 1
        sequence.num_published = len(shared)
        sequence.num_computed = len(shared) * sequence.block_size
        if sequence.num_entries == 1:  # what it finds after a preemption is its own
            sequence.num_shared = sequence.num_computed
        self._underway.update(dict.fromkeys(keys[len(shared) :], sequence))
        self.num_shared_tokens += sequence.num_computed
        self.running[sequence.id] = self.waiting.pop(sequence.id)
        return True

    def _make_room(self, sequence: Sequence) -> None:
        """A block for its next token, if need be from the sequence that ranks last, which may be itself."""
        if len(sequence.tokens) <= len(sequence.blocks) * sequence.block_size:
            return
        while self.pool.num_free == 0:
            last = max(self.running.values(), key=_rank)
            self._preempt(last)
            if last is sequence:
                return
        extent = sequence.blocks_for(sequence.bound) - len(sequence.blocks)
        sequence.blocks += self.pool.allocate(sequence.blocks, 1, extent)

    def _preempt(self, sequence: Sequence) -> None:
        """Back to the line; its tokens will be computed anew, those of the answer too."""
        del self.running[sequence.id]
        self._give_back(sequence)
        self.waiting[sequence.id] = sequence
        self.num_preemptions += 1

    def _give_back(self, sequence: Sequence) -> None:
        self.pool.release(sequence.blocks)
        sequence.blocks, sequence.num_computed = [], 0
        for key in sequence.keys_so_far:
            if self._underway.get(key) is sequence:
                del self._underway[key]


def _rank(sequence: Sequence) -> tuple[int, int]:
    """Lower runs first: by priority, then by arrival."""
    return sequence.request.priority, sequence.id


def _chunk(sequence: Sequence, length: int) -> Chunk:
    return Chunk(sequence=sequence, start=sequence.num_computed, stop=sequence.num_computed + length)
