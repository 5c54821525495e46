"""A run's figures for TensorBoard, trackio, SwanLab and Weights & Biases, through accelerate's tracker classes.

In: events. Out: what the tracker does with numbers. A tracker is an extra that may never cost a run: whatever it raises
(no network, no login, a full disk) is told once, on one line, and that tracker is left out from then on.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ivl.errors import MissingExtraError
from ivl.train.config import TrainConfig
from ivl.train.events import Event, RunStart
from ivl.train.json_lines import Record
from ivl.train.metrics import Recorder

PROJECT = "ivl"
_TOLD_BY_KIND = {"step": "train", "validation": "validation"}
_NOT_TOLD = {"kind", "step", "num_steps", "num_answers"}


class Trackers:
    """Observer for all of `config.report_to`."""

    def __init__(
        self,
        config: TrainConfig,
        work_dir: Path,
        first_step: int,
        say: Callable[[str], None],
        classes: Mapping[str, Callable[..., Any]] | None = None,
    ) -> None:
        """`classes`: accelerate's tracker classes by name; None: those installed. Raises MissingExtraError."""
        self._makers = tracker_classes(config.report_to) if classes is None else dict(classes)
        self._config, self._work_dir, self._first_step = config, work_dir, first_step
        self._say = say
        self._recorder = Recorder(config.log_steps, first_step)
        self._alive: dict[str, Any] = {}

    def __call__(self, event: Event) -> None:
        if isinstance(event, RunStart):
            for name in dict.fromkeys(self._config.report_to):
                self._guard(name, self._start)
        self._log(self._recorder.add(event))

    def close(self) -> None:
        """Lets each finish what it has to send."""
        self._log(self._recorder.flush())
        for name in list(self._alive):
            self._guard(name, lambda name: self._alive[name].finish())
        self._alive.clear()

    def _start(self, name: str) -> None:
        tracker = self._makers[name](**self._arguments(name))
        self._alive[name] = tracker
        tracker.start()
        tracker.store_init_configuration(plain_settings(self._config))

    def _arguments(self, name: str) -> dict[str, Any]:
        """Each library's own words for the run's name and folder."""
        run, folder = self._work_dir.name, str(self._work_dir)
        by_name: dict[str, dict[str, Any]] = {
            # what an interrupted run told of later steps is taken back
            "tensorboard": {"run_name": "tensorboard", "logging_dir": folder, "purge_step": self._first_step + 1},
            "wandb": {"run_name": PROJECT, "name": run, "dir": folder, "settings": {"init_timeout": 30}},
            "swanlab": {"run_name": PROJECT, "experiment_name": run, "logdir": folder},
            "trackio": {"run_name": PROJECT, "name": run},
        }
        return by_name[name]

    def _log(self, records: Iterable[Record]) -> None:
        for record in records:
            values = _values(record)
            for name in list(self._alive) if values else ():
                self._guard(name, partial(self._tell, values, record["step"]))

    def _tell(self, values: dict[str, float], step: int, name: str) -> None:
        self._alive[name].log(values, step=step)

    def _guard(self, name: str, call: Callable[[str], None]) -> None:
        try:
            call(name)
        except (Exception, SystemExit) as error:  # the library's own, of any kind; some exit
            self._alive.pop(name, None)
            reason = " ".join(str(error).split())[:200]
            self._say(f"report_to: {name} is left out from here on ({type(error).__name__}: {reason}); the run goes on")


def check_trackers(names: Iterable[str]) -> None:
    """Raise MissingExtraError if a named tracker's package is not installed; quick, imports nothing."""
    for name in names:
        modules = ("tensorboard", "tensorboardX") if name == "tensorboard" else (name,)
        if not any(find_spec(module) for module in modules):
            raise MissingExtraError(f"report_to: {name} needs its package: pip install {name}")


def tracker_classes(names: Iterable[str]) -> dict[str, Callable[..., Any]]:
    """accelerate's classes of the named trackers. Raises MissingExtraError if one's package is not installed."""
    names = tuple(names)
    check_trackers(names)
    if not names:
        return {}
    try:
        from accelerate.state import PartialState
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS
    except ImportError:
        raise MissingExtraError("report_to needs accelerate: pip install 'ivl[train]'") from None
    PartialState()  # the trackers' own log lines need it to exist
    missing = [name for name in names if name not in LOGGER_TYPE_TO_CLASS]
    if missing:
        raise MissingExtraError(f"report_to: this accelerate has no {missing[0]}: pip install -U accelerate")
    return {name: LOGGER_TYPE_TO_CLASS[name] for name in names}


def plain_settings(config: TrainConfig) -> dict[str, str | float]:
    """A recipe in the values that every tracker takes: numbers and texts."""
    return {
        name: value if isinstance(value, int | float | str) else str(value)
        for name, value in asdict(config).items()
        if value is not None
    }


def _values(record: Record) -> dict[str, float]:
    group = _TOLD_BY_KIND.get(record["kind"])
    return {
        f"{group}/{name}": value
        for name, value in record.items()
        if group and name not in _NOT_TOLD and isinstance(value, int | float)
    }
