"""The same recipe on one and on two GPUs: losses beside each other, for DistributedDataParallel and FSDP2.

    PYTHONPATH=src:tests python benchmarks/train_ranks.py --out FILE [--commit HASH]

The model in the package learns made-up signs from 200 pictures; the global batch is the same in every run. Says whether
ranks change more than the order of additions; measures no speed worth telling, for the model is small.
"""

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from measuring import Circumstances, circumstances, write_result

from ivl.data.settings import DataSource
from ivl.train.config import TrainConfig
from ivl.train.launch import launch
from ivl.train.metrics import read_metrics
from ivl.zoo import nano_folder
from signs import write_signs

RUNS = (("one", 1, "auto", "float32"), ("ddp", 2, "ddp", "float32"), ("fsdp2", 2, "fsdp2", "float32"),
        ("one, bfloat16", 1, "auto", "bfloat16"), ("ddp, bfloat16", 2, "ddp", "bfloat16"),
        ("fsdp2, bfloat16", 2, "fsdp2", "bfloat16"))  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Result:
    """The results file."""

    device: str
    circumstances: Circumstances
    runs: list[dict[str, Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True)
    parser.add_argument("--commit", help="where git cannot tell it")
    args = parser.parse_args()
    runs = []
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        paths = write_signs(root / "signs", 200, 24)
        data, val_data = ((DataSource(path=str(path)),) for path in paths)
        for number, (name, ranks, strategy, dtype) in enumerate(RUNS):
            work = root / str(number)
            config = TrainConfig(
                path=str(nano_folder()), data_path=data, val_data_path=val_data, work_dir=str(work), r=16,
                lora_alpha=32, lora_dropout=0.0, connector="full", lr=2e-3, batch_size=10 // ranks, max_epochs=1,
                eval_samples=24, strategy=strategy, dtype=dtype, dataloader_num_workers=4, timeout=120,
            )  # fmt: skip
            code = launch(config, ranks)
            records = read_metrics(work / "metrics.jsonl")
            runs.append(
                {
                    "run": name,
                    "ranks": ranks,
                    "exit_code": code,
                    "losses": [each["loss"] for each in records if each["kind"] == "step"],
                    "validation": [
                        {key: each[key] for key in ("step", "loss", "exact_match")}
                        for each in records
                        if each["kind"] == "validation"
                    ],
                }
            )
    device = f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    write_result(Path(args.out), Result(device=device, circumstances=circumstances(args.commit), runs=runs))


if __name__ == "__main__":
    main()
