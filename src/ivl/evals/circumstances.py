"""What a published number needs beside it: command, date, versions, device, type.

In: the settings of a run and where its models ran. Out: words by name, in the order in which a report shows them.
"""

from __future__ import annotations

import platform
import shlex
import sys
from collections.abc import Mapping
from datetime import UTC, datetime

import torch

from ivl._version import __version__
from ivl.evals.settings import EvalSettings
from ivl.session import Pipeline
from ivl.session.hardware import choose_device
from ivl.session.loading import place


def circumstances(settings: EvalSettings, places: Mapping[str, str]) -> dict[str, str]:
    """`places`: device and type of each subject that was asked in this run, by its name; none where all was known."""
    device = choose_device(settings.device)
    ran = " and ".join(dict.fromkeys(places.values()))
    return {
        "command": shlex.join([_program(), *sys.argv[1:]]),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "device": _hardware(device),
        "dtype": ran or f"{settings.dtype} (all answers are of an earlier run)",
        "versions": f"ivl {__version__}, torch {torch.__version__}, Python {platform.python_version()}",
        "items of each set": "all" if settings.limit is None else f"{settings.limit} at most, of seed {settings.seed}",
        "max_tiles": "the model's own" if settings.max_tiles is None else str(settings.max_tiles),
    }


def _program() -> str:
    """What was run: `python -m ivl` is known by its file alone."""
    name = sys.argv[0].rpartition("/")[2]
    return "ivl" if name == "__main__.py" else name


def placed(pipe: object) -> str:
    """The type that a pipeline's weights have."""
    return place(pipe.engine_config, pipe.config)[1] if isinstance(pipe, Pipeline) else "unknown"


def _hardware(device: str) -> str:
    if device != "cpu":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"cpu ({platform.machine()}, {torch.get_num_threads()} threads)"
