"""The step's numbers for the Triton kernels; where every sequence decodes, for a CUDA graph. Needs Triton.

In: batches. Out: an `Attention`, or the logits of a whole step. Knows no model but the one its graphs run.

T packed tokens, S sequences, B entries of a block table, Dh head width, V vocabulary.
"""

import numpy as np
import torch
from torch import Tensor

from ivl.engine.batch import Batch
from ivl.engine.cuda_graphs import DecodeGraphs
from ivl.engine.gpu_attention import TritonAttention
from ivl.engine.kernels import choose_splits
from ivl.engine.paged_attention import KVCache
from ivl.model.decoder import LanguageModel


class TritonBackend:
    """Attention over one cache, and graphs of up to `max_rows` decoding sequences of up to `max_len` tokens."""

    def __init__(self, model: LanguageModel, cache: KVCache, max_rows: int, max_len: int) -> None:
        self.cache = cache
        self.device = cache.keys.device
        self._num_kv_heads = model.config.num_kv_heads
        self._num_sms = torch.cuda.get_device_properties(self.device).multi_processor_count
        self.graphs = DecodeGraphs(model, cache, max_rows, max_len, self._num_sms)

    def attention(self, batch: Batch, slots: Tensor) -> TritonAttention:
        """For one eager step; slots (T,)."""
        chunks, n = batch.chunks, batch.num_decodes
        contexts = [chunk.stop for chunk in chunks]
        tables = np.zeros((len(chunks), max(len(chunk.sequence.blocks) for chunk in chunks)), np.int32)
        for row, chunk in enumerate(chunks):
            tables[row, : len(chunk.sequence.blocks)] = chunk.sequence.blocks
        lengths = [chunk.stop - chunk.start for chunk in chunks[n:]]
        return TritonAttention(
            key_cache=self.cache.keys,
            value_cache=self.cache.values,
            slots=slots,
            block_tables=torch.from_numpy(tables).to(self.device, non_blocking=True),
            context_lens=self._int32(contexts),
            num_decodes=n,
            cu_seqlens=self._int32(np.cumsum([0, *lengths]).tolist()) if lengths else None,
            max_query_len=max(lengths, default=1),
            num_splits=choose_splits(n, self._num_kv_heads, max(contexts[:n], default=0), self._num_sms),
        )

    def decode(self, batch: Batch, cos: Tensor, sin: Tensor) -> Tensor | None:
        """Logits (S, V) by a graph, cos and sin being (S, Dh); None where no graph fits the batch."""
        return self.graphs.run(batch, cos, sin) if self.graphs.fits(batch) else None

    def _int32(self, numbers: list[int]) -> Tensor:
        return torch.tensor(numbers, dtype=torch.int32).to(self.device, non_blocking=True)
