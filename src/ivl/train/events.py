"""What a run tells while it goes on: plain values, from the loop to progress, files and trackers."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class RunStart:
    """Before the first step."""

    total_steps: int
    first_step: int
    """Steps done already, by the run that is resumed."""
    num_trainable: int
    num_parameters: int
    device: str
    world_size: int
    flops_per_second: float | None
    """The device's dense peak in the dtype of the run, for MFU; None where it is not known."""


@dataclass(frozen=True, kw_only=True)
class StepEnd:
    """After a step; sums over all ranks."""

    step: int
    """Steps done, from 1."""
    epoch: float
    loss: float
    lr: float
    grad_norm: float
    num_samples: int
    num_tokens: int
    """Tokens of samples; nothing is padded."""
    num_tiles: int
    seconds: float
    data_seconds: float
    """Of them waiting for data."""
    flops: float
    """Of the model, recomputation not counted (so MFU, not HFU)."""
    memory_bytes: int
    """Peak on the fullest device; of the process on a CPU."""
    num_dropped: int = 0
    """Samples left out so far because their pictures could not be read."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One validation question and what the model says."""

    sample_id: str
    question: str
    expected: str
    given: str
    image: bytes | None = None
    """A small PNG of the first picture."""


@dataclass(frozen=True, kw_only=True)
class Validation:
    """After a validation; step 0 is before training."""

    step: int
    loss: float
    answers: tuple[Answer, ...] = ()

    @property
    def exact_match(self) -> float | None:
        """Share of answers that equal the expected ones but for white space at their ends; None without answers."""
        if not self.answers:
            return None
        return sum(each.given.strip() == each.expected.strip() for each in self.answers) / len(self.answers)


@dataclass(frozen=True, kw_only=True)
class Saved:
    """A checkpoint was written."""

    step: int
    path: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Notice:
    """Something that a person should know, on one line."""

    text: str


@dataclass(frozen=True, kw_only=True)
class RunEnd:
    """After the last step, or when the run was told to stop."""

    step: int
    finished: bool
    """False: stopped by a signal; `resume` goes on."""
    output: str
    """Folder of the adapter or model, or of the newest checkpoint."""
    seconds: float


Event = RunStart | StepEnd | Validation | Saved | Notice | RunEnd


class Observer(Protocol):
    """Is told every event, on rank 0 only; `close` is called once, after errors too."""

    def __call__(self, event: Event) -> None: ...

    def close(self) -> None: ...
