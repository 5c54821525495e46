"""Decoding steps as CUDA graphs: one launch for the whole model where a launch for every kernel would take longer than
the kernels themselves.

In: a batch in which every sequence decodes. Out: logits. A graph is captured for a number of rows when that number is
first needed; smaller batches fill the rest with rows of no context, which write nothing. Needs Triton.

S sequences, R rows of a graph, B blocks of the longest session, Dh head width, V vocabulary.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ivl.engine.batch import Batch
from ivl.engine.gpu_attention import TritonAttention
from ivl.engine.kernels import choose_splits
from ivl.engine.paged_attention import KVCache
from ivl.model.decoder import LanguageModel


@dataclass(frozen=True, kw_only=True)
class _Graph:
    """A captured step, and where it leaves its logits (R, V)."""

    graph: torch.cuda.CUDAGraph
    logits: Tensor


class DecodeGraphs:
    """Graphs of up to `max_rows` rows over one cache. All read the same static buffers and share one memory pool."""

    def __init__(self, model: LanguageModel, cache: KVCache, max_rows: int, max_len: int, num_sms: int) -> None:
        self.model = model
        self.cache = cache
        self.max_rows = max_rows
        self.max_len = max_len
        device = cache.keys.device
        max_blocks = -(-max_len // cache.block_size)
        self.input_ids = torch.zeros(max_rows, dtype=torch.int64, device=device)
        self.slots = torch.full((max_rows,), -1, dtype=torch.int64, device=device)
        self.context_lens = torch.zeros(max_rows, dtype=torch.int32, device=device)
        self.tables = torch.zeros(max_rows, max_blocks, dtype=torch.int32, device=device)
        self.cos = torch.zeros(max_rows, model.config.head_dim, device=device)
        self.sin = torch.zeros_like(self.cos)
        self._host_tables = np.zeros((max_rows, max_blocks), np.int32)
        self._in_row = [(0, 0, 0)] * max_rows
        """Whose blocks stand in each row of the tables: the sequence, its entry into the batch, how many blocks."""
        self._num_sms = num_sms
        self._graphs: dict[int, _Graph] = {}
        self._pool = torch.cuda.graph_pool_handle()

    def fits(self, batch: Batch) -> bool:
        """Whether every sequence of the batch decodes, as the base model."""
        return batch.num_decodes == len(batch.chunks) <= self.max_rows and all(
            chunk.samples and chunk.start >= chunk.sequence.num_prompt and chunk.sequence.request.adapter is None
            for chunk in batch.chunks
        )

    def run(self, batch: Batch, cos: Tensor, sin: Tensor) -> Tensor:
        """Logits (S, V), to be read before the next step; cos and sin are (S, Dh)."""
        count = len(batch.chunks)
        rows = num_rows(count, self.max_rows)
        self._fill(batch, count, rows)
        self.cos[:count] = cos
        self.sin[:count] = sin
        if rows not in self._graphs:
            self._graphs[rows] = self._capture(rows)
        self._graphs[rows].graph.replay()
        return self._graphs[rows].logits[:count]

    def _fill(self, batch: Batch, count: int, rows: int) -> None:
        """The step's numbers into the static buffers; rows beyond `count` get no context and no slot."""
        columns = np.zeros((3, rows), np.int64)
        columns[0, :count] = batch.input_ids
        columns[1] = -1
        columns[1, :count] = batch.slots
        columns[2, :count] = batch.positions + 1
        on_device = torch.from_numpy(columns).to(self.input_ids.device, non_blocking=True)
        self.input_ids[:rows], self.slots[:rows], self.context_lens[:rows] = on_device
        changed = False
        for row, chunk in enumerate(batch.chunks):
            sequence, blocks = chunk.sequence, chunk.sequence.blocks
            held = (sequence.id, sequence.num_entries, len(blocks))
            if self._in_row[row] != held:
                self._in_row[row] = held
                self._host_tables[row, : len(blocks)] = blocks
                changed = True
        if changed:
            self.tables[:rows] = torch.from_numpy(self._host_tables[:rows]).to(self.tables.device)

    def _capture(self, rows: int) -> _Graph:
        """A graph of one step of `rows` rows."""
        num_kv_heads = self.model.config.num_kv_heads
        attention = TritonAttention(
            key_cache=self.cache.keys,
            value_cache=self.cache.values,
            slots=self.slots[:rows],
            block_tables=self.tables[:rows],
            context_lens=self.context_lens[:rows],
            num_decodes=rows,
            cu_seqlens=None,
            max_query_len=1,
            num_splits=choose_splits(rows, num_kv_heads, self.max_len, self._num_sms),
        )

        def step() -> Tensor:
            embeds = self.model.embed_tokens(self.input_ids[:rows])
            return self.model.logits(self.model(embeds, self.cos[:rows], self.sin[:rows], attention))

        # Twice before: what is compiled or chosen on first use must not fall into the capture.
        stream = torch.cuda.Stream(self.cache.keys.device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            step()
            step()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # Other threads may use the device meanwhile, to decode pictures for example.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            logits = step()
        return _Graph(graph=graph, logits=logits)


def num_rows(count: int, most: int) -> int:
    """The rows of the graph for `count` sequences: 1, 2, 4, then by eights, beyond 64 by thirty-twos."""
    if count <= 4:
        rows = 1 << (count - 1).bit_length()
    else:
        step = 8 if count <= 64 else 32
        rows = -(-count // step) * step
    return min(rows, most)
