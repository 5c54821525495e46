"""How an evaluation is run.

In: what a person sets. Out: checked values. Knows no sets, no models.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from ivl.errors import SettingsError, nearest, shown
from ivl.evals.item import Scoring
from ivl.types import EngineConfig

MOST_TILES_SET = 256
"""Tiles of a picture that may be asked for; the processor has the last word."""
_MOST = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class EvalSettings:
    """Settings of a whole run, the same for all its subjects. Raises SettingsError for a value that is not allowed."""

    limit: int | None = None
    """Items of each set that are asked, spread evenly over it, the same ones for all models; None: all."""
    scoring: Scoring = "generate"
    """"generate": the letter is read from a free answer; "likelihood": the letter that the model finds most likely.
    Sets without choices are always answered freely."""
    max_tiles: int | None = None
    """Tiles a picture is cut into at most; None: the model's own limit."""
    batch: int | None = None
    """Questions that a model answers at once; None: 128 on a GPU, 16 on a CPU."""
    seed: int = 0
    """Which items a limit chooses."""
    device: str = "auto"
    """"auto": a GPU where there is one, else the CPU; or "cpu", "cuda", "cuda:1"."""
    dtype: str = "auto"
    """"auto": float32 on a CPU, bfloat16 on a GPU; or "float32", "bfloat16", "float16"."""
    session_len: int = 16384
    """Tokens of prompt and answer together, at most. Four pictures of 13 tiles are 13,312 tokens."""

    def __post_init__(self) -> None:
        for name, least, most in (
            ("limit", 1, _MOST),
            ("max_tiles", 1, MOST_TILES_SET),
            ("batch", 1, 4096),
            ("seed", 0, _MOST),
        ):
            value = getattr(self, name)
            if value is None and name != "seed":
                continue
            if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
                raise SettingsError(f"{name}={shown(value)} is not allowed: a whole number from {least} to {most}")
        if self.scoring not in get_args(Scoring):
            raise SettingsError(
                f"scoring={shown(self.scoring)} is not allowed: {nearest(str(self.scoring), get_args(Scoring))}"
            )
        self.engine_config(1)

    def engine_config(self, batch: int) -> EngineConfig:
        """The engine's settings for `batch` questions at once."""
        return EngineConfig(device=self.device, dtype=self.dtype, session_len=self.session_len, max_batch_size=batch)
