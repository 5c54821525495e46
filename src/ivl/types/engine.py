"""EngineConfig: where and how the engine runs, every field checked.

In: what a person gives. Out: the same; SettingsError for what cannot be. Knows no device.
"""

from __future__ import annotations

from dataclasses import dataclass

from ivl.errors import SettingsError, shown
from ivl.types.checks import INT_MAX, NUMBER, check_flag, check_number


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """Where and how the engine runs."""

    device: str = "auto"
    """"auto": a GPU where there is one, else the CPU; or "cpu", "cuda", "cuda:1"."""
    dtype: str = "auto"
    """"auto": float32 on a CPU, bfloat16 on a GPU; or "float32", "bfloat16", "float16"."""
    session_len: int = 8192
    """Tokens of prompt and answer together, at most."""
    max_batch_size: int = 128
    """Requests that run at once, at most."""
    cache_max_entry_count: float = 0.8
    """Share of the free GPU memory that the key-value cache may take. On a CPU its blocks are made when they are
    needed, up to a quarter of the free memory."""
    enable_prefix_caching: bool = True
    """Share the cache of equal beginnings between requests."""
    block_size: int = 64
    """Tokens in a cache block; on a GPU a power of two."""
    max_prefill_token_num: int | None = None
    """Prompt tokens in one step, at most; None: 8192 on a GPU, 1024 on a CPU."""
    tp: int = 1
    """GPUs that share one model (tensor parallel)."""
    quantization: str | None = None
    """None: the weights as they are; "int8": the language model's in 8 bits."""
    vision_cache_bytes: int = 256 * 2**20
    """Memory for the features of pictures seen before."""

    def __post_init__(self) -> None:
        for name in ("session_len", "max_batch_size", "block_size", "max_prefill_token_num"):
            if getattr(self, name) is not None or name != "max_prefill_token_num":
                check_number(name, getattr(self, name), int, 1, INT_MAX, "a whole number of at least 1")
        check_number("tp", self.tp, int, 1, 1, "only tp=1 is supported")
        check_number("cache_max_entry_count", self.cache_max_entry_count, NUMBER, 1e-6, 1, "a share above 0, at most 1")
        check_number("vision_cache_bytes", self.vision_cache_bytes, int, 0, 2**63, "a number of bytes, at least 0")
        if not isinstance(self.device, str):
            raise SettingsError(f"device={shown(self.device)} is not allowed: auto, cpu, cuda or cuda:N")
        check_flag("enable_prefix_caching", self.enable_prefix_caching)
        if self.dtype not in ("auto", "float32", "bfloat16", "float16"):
            raise SettingsError(f"dtype={shown(self.dtype)} is not allowed: auto, float32, bfloat16 or float16")
        if self.quantization not in (None, "int8"):
            raise SettingsError(f"quantization={shown(self.quantization)} is not allowed: None or 'int8'")
