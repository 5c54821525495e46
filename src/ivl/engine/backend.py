"""How a step's attention is computed: the reference everywhere, Triton's kernels and CUDA graphs on an NVIDIA GPU.

In: batches. Out: an `Attention` for the decoder, or the logits of a whole decoding step.
"""

from importlib.util import find_spec
from typing import Protocol

from torch import Tensor

from ivl.engine.batch import Batch
from ivl.engine.paged_attention import KVCache, PagedSDPA
from ivl.model.attention import Attention
from ivl.model.decoder import LanguageModel


class Backend(Protocol):
    """Attention over one cache. T packed tokens, S sequences, Dh head width, V vocabulary."""

    def attention(self, batch: Batch, slots: Tensor) -> Attention:
        """For one step; slots (T,)."""
        ...

    def decode(self, batch: Batch, cos: Tensor, sin: Tensor) -> Tensor | None:
        """Logits (S, V) of a step in which every sequence decodes, cos and sin (S, Dh); None: run the model."""
        ...


class SDPABackend:
    """torch's scaled_dot_product_attention, a call for each sequence: any device, any dtype."""

    def __init__(self, cache: KVCache) -> None:
        self.cache = cache

    def attention(self, batch: Batch, slots: Tensor) -> Attention:
        """See `Backend`."""
        return PagedSDPA(self.cache, batch.spans, slots)

    def decode(self, batch: Batch, cos: Tensor, sin: Tensor) -> Tensor | None:
        """The model runs as it is."""
        return None


def choose_backend(model: LanguageModel, cache: KVCache, max_rows: int, max_len: int) -> Backend:
    """The fastest backend for the cache's device, for up to `max_rows` sequences of up to `max_len` tokens."""
    size = cache.block_size
    if cache.keys.is_cuda and find_spec("triton") and size >= 16 and size & (size - 1) == 0:
        from ivl.engine.triton_backend import TritonBackend

        return TritonBackend(model, cache, max_rows, max_len)
    return SDPABackend(cache)
