"""What the figures of a run must be read with.

In: what git may not tell, and the times of parts. Out: plain values for a results file.
"""

from collections.abc import Mapping
from typing import Any

from measuring import circumstances

from food_story.processes import device_name, num_cores


def run_facts(commit: str | None, seconds: Mapping[str, float]) -> dict[str, Any]:
    """Of this process, now. commit: where git cannot tell it; seconds: of each part."""
    now = circumstances(commit)
    return {
        "device": f"{device_name()}, {now.processor}, {num_cores()} cores",
        "versions": now.versions,
        "command": now.command,
        "commit": now.commit,
        "seconds": seconds,
    }
