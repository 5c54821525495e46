"""How much memory the key-value cache may take.

In: the engine's settings. Out: a number of blocks. Knows no blocks' contents.
"""

import os
from pathlib import Path

import torch

from ivl.errors import EngineError
from ivl.model.config import TextConfig
from ivl.types import EngineConfig

_CPU_SHARE = 0.25
_GIB = 2**30
_CGROUP = Path("/sys/fs/cgroup")


def num_blocks(config: EngineConfig, text: TextConfig, device: torch.device, dtype: torch.dtype) -> int:
    """Blocks for as many full sessions as may run at once, or as many as fit into the memory that is free.

    Of a GPU's free memory `cache_max_entry_count` may be taken, of a CPU's a quarter. Raises EngineError where not
    even one block fits.
    """
    free = free_bytes(device)
    share = _CPU_SHARE if device.type == "cpu" else config.cache_max_entry_count
    block_bytes = text.kv_numbers_per_token * dtype.itemsize * config.block_size
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
        return torch.cuda.mem_get_info(device)[0]
    free = available_memory()
    # A system that does not say: half of what it has.
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2 if free is None else free


def available_memory() -> int | None:
    """Bytes of memory that are free for this process, its container's limit included; None: unknown here."""
    lines = dict(line.split(":", 1) for line in _read(Path("/proc/meminfo")).splitlines() if ":" in line)
    if "MemAvailable" not in lines:
        return None
    free = int(lines["MemAvailable"].split()[0]) * 1024
    limit, used = _read(_CGROUP / "memory.max").strip(), _read(_CGROUP / "memory.current").strip()
    if limit.isdigit() and used.isdigit():
        free = min(free, max(0, int(limit) - int(used)))
    return free


def _read(path: Path) -> str:
    """A small file of the system, empty where there is none."""
    try:
        return path.read_text("utf-8", errors="replace")
    except OSError:
        return ""
