"""The outcome of one check, as data."""

from dataclasses import dataclass, field
from typing import Literal

Level = Literal["ok", "warning", "problem"]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at."""

    name: str
    level: Level
    found: str
    """What is there, on one line."""
    advice: str = ""
    """What to do about a warning or a problem."""
    figures: dict[str, float] = field(default_factory=dict)
    """Measured numbers behind it, each named with its unit."""
