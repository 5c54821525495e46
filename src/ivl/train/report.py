"""The run's page: keeps the answers of validations, gathers what the page shows, and writes report.html and plot.png.

In: events, and the lines of metrics.jsonl, which stand for what happened before a resume. Out: answers.jsonl,
report.html, plot.png in the run's folder. Knows no HTML.
"""

import base64
import platform
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields
from importlib import metadata
from pathlib import Path

from ivl._version import __version__
from ivl.errors import MissingExtraError
from ivl.train.config import TrainConfig
from ivl.train.events import Event, RunEnd, RunStart, StepEnd, Validation
from ivl.train.json_lines import JsonLines, Record, read_lines, write_whole
from ivl.train.metrics import History, read_history

LARGEST_PICTURE = 512 * 1024
"""Bytes of a sample's PNG; a larger one is left out of the page."""
PLOT_SHARE = 0.05
"""Of the run's time, at most, that goes into drawing plot.png while it runs."""
_PNG = b"\x89PNG\r\n\x1a\n"
_PACKAGES = ("torch", "accelerate", "peft", "bitsandbytes", "deepspeed")


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One validation question and what the model said first and last."""

    sample_id: str
    question: str
    expected: str
    before: str | None
    """None where the first validation did not ask it."""
    after: str
    picture: str | None
    """PNG as base64."""

    @property
    def verdict(self) -> str:
        """gained, lost, changed, right or wrong: in this order they are shown."""
        was = self.before is not None and self.before.strip() == self.expected.strip()
        is_right = self.after.strip() == self.expected.strip()
        if self.before is None or self.before.strip() == self.after.strip():
            return "right" if is_right else "wrong"
        return "gained" if is_right else "lost" if was else "changed"


VERDICTS = ("gained", "lost", "changed", "wrong", "right")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A field of the recipe."""

    name: str
    value: object
    default: object

    @property
    def is_given(self) -> bool:
        return self.value != self.default


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """All that the page shows."""

    title: str
    state: str
    """running, finished, stopped (resume goes on) or broken (by an error)."""
    model: str
    history: History
    samples: tuple[Sample, ...]
    steps_compared: tuple[int, int]
    """The validations whose answers `samples` hold."""
    settings: tuple[Setting, ...]
    data_lines: tuple[str, ...]
    versions: dict[str, str]
    written: float
    """Unix time."""


class ReportWriter:
    """Observer that writes the page after each validation and at the end, after errors too. Raises OSError."""

    def __init__(
        self,
        config: TrainConfig,
        work_dir: Path,
        first_step: int,
        data_lines: list[str],
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`say` is told on one line what the page has to do without."""
        self._config, self._work_dir, self._data_lines = config, work_dir, data_lines
        self._say, self._clock = say, clock
        self._answers = JsonLines(work_dir / "answers.jsonl", first_step)
        if self._answers.num_damaged:
            say(f"answers.jsonl: {self._answers.num_damaged} damaged lines were removed")
        self._pictured = {_question_key(record) for record in read_lines(work_dir / "answers.jsonl")}
        self._state = "waiting"
        self._can_plot, self._plot_due = True, float("-inf")

    def __call__(self, event: Event) -> None:
        if isinstance(event, RunStart):
            self._state = "running"
        elif isinstance(event, Validation):
            self._keep(event)
            self._write(must_plot=False)
        elif isinstance(event, RunEnd):
            self._state = "finished" if event.finished else "stopped"
            self._write(must_plot=True)
        elif isinstance(event, StepEnd):
            assert self._state == "running", "a step before RunStart or after RunEnd"

    def close(self) -> None:
        """A run that began and did not end was broken by an error."""
        self._answers.close()
        if self._state == "running":
            self._state = "broken"
            self._write(must_plot=True)

    def _keep(self, event: Validation) -> None:
        """Answers in full; a picture only with its question's first answer."""
        records: list[Record] = [{"step": event.step, "num_answers": len(event.answers)}]
        for answer in event.answers:
            record: Record = {
                "step": event.step,
                "sample_id": answer.sample_id,
                "question": answer.question,
                "expected": answer.expected,
                "given": answer.given,
            }
            if _question_key(record) not in self._pictured:
                record["picture"] = _as_text(answer.image)
            records.append(record)
        self._answers.append(records)
        self._pictured.update(_question_key(record) for record in records)

    def _write(self, must_plot: bool) -> None:
        from ivl.train.report_page import render_page

        history = read_history(self._work_dir / "metrics.jsonl")
        samples, compared = read_samples(self._work_dir / "answers.jsonl")
        report = RunReport(
            title=self._work_dir.resolve().name,
            state=self._state,
            model=self._config.path,
            history=history,
            samples=samples,
            steps_compared=compared,
            settings=settings_of(self._config),
            data_lines=tuple(self._data_lines),
            versions=versions(),
            written=time.time(),
        )
        write_whole(self._work_dir / "report.html", render_page(report).encode("utf-8", "replace"))
        self._plot(history, must_plot)

    def _plot(self, history: History, must: bool) -> None:
        if not self._can_plot or not history.steps or not (must or self._clock() >= self._plot_due):
            return
        from ivl.train.plot import draw_history

        began = self._clock()
        try:
            draw_history(history, self._work_dir / "plot.png")
        except MissingExtraError as error:
            self._can_plot = False
            self._say(str(error))
        now = self._clock()
        self._plot_due = now + (now - began) / PLOT_SHARE


def read_samples(path: Path) -> tuple[tuple[Sample, ...], tuple[int, int]]:
    """The newest validation's answers beside the first one's, changed ones first; and these two steps.

    Reads an answers.jsonl; holds two validations' answers in memory, and a picture for each question.
    """
    first: dict[tuple[object, ...], Record] = {}
    newest: dict[tuple[object, ...], Record] = {}
    pictures: dict[tuple[object, ...], str] = {}
    steps = None
    for record in read_lines(path):
        steps = (steps[0] if steps else record["step"], record["step"])
        if "num_answers" in record:  # a validation begins, perhaps one that is done again
            newest = {}
            continue
        key = _numbered(_question_key(record), newest)
        newest[key] = record
        if record["step"] == steps[0]:
            first[key] = record
        if record.get("picture"):
            pictures[_question_key(record)] = record["picture"]
    if steps is None:
        return (), (0, 0)
    is_one = steps[0] == steps[1]
    samples = [
        Sample(
            sample_id=str(record["sample_id"]),
            question=str(record["question"]),
            expected=str(record["expected"]),
            before=None if is_one or key not in first else str(first[key]["given"]),
            after=str(record["given"]),
            picture=pictures.get(_question_key(record)),
        )
        for key, record in newest.items()
    ]
    return tuple(sorted(samples, key=lambda sample: VERDICTS.index(sample.verdict))), steps


def settings_of(config: TrainConfig) -> tuple[Setting, ...]:
    """Every field of a recipe with its default, given ones first."""
    found = [Setting(name=each.name, value=getattr(config, each.name), default=each.default) for each in fields(config)]
    return tuple(sorted(found, key=lambda setting: not setting.is_given))


def versions() -> dict[str, str]:
    """Of what the run stands on; packages that are not installed are left out."""
    found = {"ivl": __version__, "Python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {**found, "system": f"{sys.platform} {platform.machine()}"}


def verdict_counts(samples: tuple[Sample, ...]) -> Counter[str]:
    """How many samples there are of each verdict."""
    return Counter(sample.verdict for sample in samples)


def _question_key(record: Record) -> tuple[object, ...]:
    return (record.get("sample_id"), record.get("question"))


def _numbered(key: tuple[object, ...], taken: dict[tuple[object, ...], Record]) -> tuple[object, ...]:
    """The key, told apart from equal ones of the same validation: two records may share id and question."""
    index = 0
    while (*key, index) in taken:
        index += 1
    return (*key, index)


def _as_text(image: bytes | None) -> str | None:
    is_fine = image is not None and image.startswith(_PNG) and len(image) <= LARGEST_PICTURE
    return base64.b64encode(image).decode() if image is not None and is_fine else None
