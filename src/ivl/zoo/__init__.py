"""What ships in the package: a small model, pictures to ask it about, and data sets. Data, and where it lies.

In: nothing. Out: paths and plain values. Imports only the standard library; knows neither model nor pixels.
"""

import json
from dataclasses import dataclass
from pathlib import Path

IN_THE_PACKAGE = "zoo"
"""The name by which every command takes the small model."""
_HERE = Path(__file__).parent
_MODEL = "seedling"
"""The folder of the small model, and so its name: everything else asks `nano_folder`."""


@dataclass(frozen=True, kw_only=True)
class SampleQuestion:
    """A question about a picture in the package, and its true answer."""

    picture: Path
    """A PNG file."""
    language: str
    """Of question and answer: "en" or "zh"."""
    question: str
    answer: str
    """What the picture shows, in the exact words that the small model was taught to use."""


def nano_folder() -> Path:
    """The small InternVL2 of our own, in the official layout."""
    return _HERE / _MODEL


def foods_folder() -> Path:
    """The food set: `train`, `test_styles` and `test_dishes` in FoodieQA's layout, `foods.json`, card, attribution."""
    return _HERE / "foods"


def general_folder() -> Path:
    """The general set: what the small model could do before it was taught foods, for replay and for testing that."""
    return _HERE / "general"


def sample_pictures() -> tuple[Path, ...]:
    """Pictures to try a model on, PNG files in order of their names."""
    return tuple(sorted((_HERE / "pictures").glob("*.png")))


def sample_questions() -> tuple[SampleQuestion, ...]:
    """Questions about the sample pictures in English and Chinese, picture by picture."""
    folder = _HERE / "pictures"
    rows = json.loads((folder / "questions.json").read_text(encoding="utf-8"))
    return tuple(
        SampleQuestion(
            picture=folder / row["picture"],
            language=row["language"],
            question=row["question"],
            answer=row["answer"],
        )
        for row in rows
    )
