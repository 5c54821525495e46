"""The entry of one rank that `launch.py` started: `python -m ivl.train.rank_main`.

In: the environment (which rank, and the private folder) and the recipe in that folder. Out: an exit code, and where the
rank failed, why, as a file in the folder for the launcher to show. Ends at once when the launcher is killed: a rank
that goes on alone would write into the run's folder beside the run that resumes it.
"""

import dataclasses
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from ivl.data.settings import DataSource
from ivl.errors import IvlError
from ivl.train.config import TrainConfig

CONFIG_FILE = "config.json"
FOLDER_VARIABLE = "IVL_RANKS_FOLDER"
"""The private folder of the run's ranks."""
LIFELINE_VARIABLE = "IVL_LIFELINE"
"""A pipe's number: it ends when the launcher does."""


def main(run: Callable[[TrainConfig], int] | None = None) -> NoReturn:
    """Do this rank's part of the run and leave with its exit code. run: None is `ivl.train.run.run`."""
    folder, rank = Path(os.environ[FOLDER_VARIABLE]), int(os.environ["RANK"])
    _die_with_launcher(int(os.environ[LIFELINE_VARIABLE]))
    try:
        config = config_from_json(json.loads((folder / CONFIG_FILE).read_text("utf-8")))
        code = (run or _trainer())(config)
    except KeyboardInterrupt:
        code = 130
    except Exception as error:
        _tell_launcher(folder, rank, error)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)  # without waiting for threads of torch.distributed, whose other ends may be gone
    sys.exit(code)


def _trainer() -> Callable[[TrainConfig], int]:
    from ivl.train.run import run

    return run


def config_to_json(config: TrainConfig) -> dict[str, Any]:
    """The recipe as JSON holds it."""
    return dataclasses.asdict(config)


def config_from_json(values: Mapping[str, Any]) -> TrainConfig:
    """The recipe again, equal to the one that `config_to_json` was given."""
    return TrainConfig(**{name: _thaw(value) for name, value in values.items()})


def _thaw(value: Any) -> Any:
    """JSON's lists as the tuples they were, its objects as data sources: a recipe holds no others."""
    if isinstance(value, list):
        return tuple(_thaw(item) for item in value)
    return DataSource(**value) if isinstance(value, dict) else value


def _tell_launcher(folder: Path, rank: int, error: Exception) -> None:
    is_ours = isinstance(error, IvlError)
    line = str(error) if is_ours else f"unexpected {type(error).__name__}: {error}"
    told = {"time": time.monotonic(), "is_ours": is_ours, "line": " ".join(line.split())[:2000]}
    if not is_ours or os.environ.get("IVL_DEBUG") == "1":
        (folder / f"traceback-{rank}.txt").write_text("".join(traceback.format_exception(error)), "utf-8")
    partial = folder / f"error-{rank}.partial"
    partial.write_text(json.dumps(told), "utf-8")
    partial.rename(folder / f"error-{rank}.json")


def _die_with_launcher(lifeline: int) -> None:
    def watch() -> None:
        while os.read(lifeline, 1):
            pass
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()


if __name__ == "__main__":
    main()
