"""What the makers of steps share: the names of who is compared, and the folders and options that follow from a model.

In: numbers, a folder to work in, a model, and the package's sets. Out: a `Plan`. Knows no steps.
"""

from dataclasses import dataclass
from pathlib import Path

from ivl.tutorial.numbers import Numbers
from ivl.tutorial.step import Question

BEFORE, AFTER, REPLAY, TERSE = "before", "after", "after-replay", "after-terse"
SUBJECTS = {
    BEFORE: "before",
    AFTER: "after",
    REPLAY: "after, with replay",
    TERSE: "after, few-word answers",
}
"""Names on the command line, and in the report."""
TRAIN_PART, TEST_PART = "train.jsonl", "test.jsonl"
NO_REPLAY = "the package holds no general training data here, so nothing can be replayed"
NO_GENERAL = "the package holds no general test set here, so what was forgotten cannot be measured"
NO_TERSE = "it would take more time than this run has; `terse_steps` in tutorial/numbers.py switches it on"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One story's model, folders and numbers."""

    numbers: Numbers
    out: Path
    model: str | None
    foods: Path
    general: Path

    @property
    def has_replay(self) -> bool:
        return (self.general / TRAIN_PART).is_file()

    @property
    def runs(self) -> dict[str, Path]:
        """Training runs by subject."""
        runs = {AFTER: self.out / "food_lora"}
        if self.has_replay:
            runs[REPLAY] = self.out / "food_lora_replay"
        if self.numbers.terse_steps:
            runs[TERSE] = self.out / "food_lora_terse"
        return runs

    @property
    def questions(self) -> tuple[Question, ...]:
        images = self.foods / "test_styles" / "images"
        return tuple(
            Question(picture=images / picture, language=language, text=text)
            for picture in self.numbers.pictures
            for language, text in self.numbers.questions
        )

    @property
    def model_option(self) -> tuple[str, ...]:
        return () if self.model is None else ("-m", self.model)

    @property
    def best_run(self) -> str:
        """The subject that is given to others: the one that forgets least."""
        return REPLAY if self.has_replay else AFTER

    def data(self, style: str) -> Path:
        return self.out / ("data" if style == "full" else "data-terse")
