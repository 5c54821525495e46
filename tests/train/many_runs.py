"""Several runs one after another on ranks that have joined once: `python -m train.many_runs` in the trainer's place.

The recipe's `work_dir` holds recipes.json, a list of whole recipes; what a run raises is left in its folder. In a run
whose folder is called "poisoned" the loss of sample s5 is NaN.
"""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from ivl.errors import IvlError
from ivl.train import run as run_module
from ivl.train.config import TrainConfig
from ivl.train.evaluation import run_forward
from ivl.train.rank_main import config_from_json, main
from ivl.train.ranks import Ranks, join_ranks


def poisoned(strategy: Any, batch: Any, device: torch.device, scale: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    total, losses = run_forward(strategy, batch, device, scale)
    if "s5" in batch.sample_ids:
        place = batch.sample_ids.index("s5")
        losses[batch.offsets[place] : batch.offsets[place + 1]] = float("nan")
        total = total * float("nan")
    return total, losses


def run_all(config: TrainConfig) -> int:
    torch.set_num_threads(1)
    folder = Path(config.work_dir)
    with join_ranks(config) as ranks, pytest.MonkeyPatch.context() as patch:
        patch.setattr("ivl.train.evaluation.ANSWER_TOKENS", 3)

        @contextlib.contextmanager
        def joined(config: TrainConfig) -> Iterator[Ranks]:
            yield ranks

        patch.setattr(run_module, "join_ranks", joined)
        patch.setattr("ivl.train.plot.draw_history", lambda history, path: None)
        for values in json.loads((folder / "recipes.json").read_text()):
            work_dir = Path(values["work_dir"])
            forward = poisoned if work_dir.name == "poisoned" else run_forward
            patch.setattr("ivl.train.trainer.run_forward", forward)
            try:
                run_module.run(config_from_json(values))
            except IvlError as error:
                (work_dir / f"{ranks.rank}.error").write_text(str(error))
            ranks.barrier()
    return 0


if __name__ == "__main__":
    main(run_all)
