"""How much memory the key-value cache may take.

In: the engine's settings. Out: a number of blocks. Knows no blocks' contents.
"""

import os
from pathlib import Path

import torch

from ivl.engine.paged_attention import bytes_per_token
from ivl.errors import EngineError
from ivl.model.config import TextConfig
from ivl.types import EngineConfig

_CPU_SHARE = 0.25
_GIB = 2**30


def num_blocks(config: EngineConfig, text: TextConfig, device: torch.device, dtype: torch.dtype) -> int:
    """Blocks for as many full sessions as may run at once, or as many as fit into the memory that is free.

    Of a GPU's free memory `cache_max_entry_count` may be taken, of a CPU's a quarter. Raises EngineError where not
    even one block fits.
    """
    free = free_bytes(device)
    share = _CPU_SHARE if device.type == "cpu" else config.cache_max_entry_count
    block_bytes = bytes_per_token(text, dtype) * config.block_size
    fitting = int(free * share) // block_bytes
    if fitting < 1:
        raise EngineError(
            f"no memory for the key-value cache: {free / _GIB:.2f} GiB are free on {device}, {share:.0%} of them may "
            f"be taken, and one block of {config.block_size} tokens needs {block_bytes / _GIB:.3f} GiB: free some "
            "memory, or choose a smaller model or dtype"
        )
    wanted = config.max_batch_size * -(-config.session_len // config.block_size)
    return min(fitting, wanted)


def free_bytes(device: torch.device) -> int:
    """Memory that could be taken now; of a container, what its limit leaves."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free
    limits = [_available(), _left_in_container()]
    return min(limit for limit in limits if limit is not None)


def _available() -> int:
    """What the system says is available; half of the memory of a machine that does not say."""
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _left_in_container() -> int | None:
    """The memory limit of a Linux container (cgroup 2) less what it uses; None where there is none."""
    group = Path("/sys/fs/cgroup")
    try:
        limit = int((group / "memory.max").read_text())
        used = int((group / "memory.current").read_text())
    except (OSError, ValueError):  # no such file, or "max"
        return None
    return max(limit - used, 0)
