"""easy-VQA: fine-tune a small model on its 38,575 training questions, ask its 9,673 test questions.

    PYTHONPATH=src:. python benchmarks/easy_vqa_finetune.py --model out/nano/ivl-nano --source out/easy_vqa.whl \\
        --out out/easy_vqa --results results.json --commit HASH
    PYTHONPATH=src:. python benchmarks/easy_vqa_finetune.py --toy --source easy_vqa.whl --out /tmp/easy   # on a CPU

--source: the package's folder, its `data`, or the wheel of PyPI as it comes (`pip download --no-deps easy-vqa`). The
data, the training and the questions go the way of a user: `ivl data easy-vqa`, `ivl train`, `ivl eval`'s evaluation.
A probe of some steps comes first, so that the schedule ends within --minutes. The test asks single questions, in the
words that were trained; the model before is asked the same.
"""

import argparse
import json
import shutil
import sys
import time
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from food_story.answering import evaluate_side_by_side, forget_shards
from food_story.facts import run_facts
from food_story.processes import PYTHON, num_cores, run_one
from food_story.training import write_recipe

from ivl.evals.compare import paired
from ivl.evals.easy_vqa import open_easy_vqa
from ivl.evals.item import Subject
from ivl.evals.report import to_json, write_report
from ivl.evals.settings import EvalSettings
from ivl.train.metrics import read_metrics
from ivl.zoo import nano_folder

PROBE = (15, 60)
"""Steps of the probe: those before the first are not timed."""
TARGET = 0.97
_LARGEST_FILE = 2**24


def main() -> None:
    args = _parser().parse_args()
    if not args.model and not args.toy:
        sys.exit("--model FOLDER is needed")
    model = (args.model or nano_folder()).resolve()
    source = unpacked(args.source, args.out) if args.source.is_file() else args.source
    seconds: dict[str, float] = {}
    if not (args.out / "data" / "easy_vqa_train.jsonl").is_file():
        words = [PYTHON, "-m", "ivl", "data", "easy-vqa", "--out", str(args.out / "data"), "--source", str(source)]
        seconds["data"] = run_one("data", words, args.out / "logs" / "data.txt")
    trained = fine_tune(args, model, seconds)
    began = time.monotonic()
    results = ask(args, model, trained, source)
    seconds["test"] = round(time.monotonic() - began, 1)
    write_report(results, args.out / "eval")
    data = told(args, results, seconds)
    (args.results or args.out / "results.json").write_text(to_json(data), "utf-8")
    print(to_json(data))


def unpacked(wheel: Path, out: Path) -> Path:
    """The data of the wheel, written to OUT; nothing else of it."""
    folder = out / "wheel"
    with zipfile.ZipFile(wheel) as file:
        for info in file.infolist():
            path = PurePosixPath(info.filename)
            is_data = path.parts[:2] == ("easy_vqa", "data") and path.suffix in (".json", ".png")
            if is_data and ".." not in path.parts and info.file_size < _LARGEST_FILE:
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(file.read(info))
    return folder / "easy_vqa"


def fine_tune(args: argparse.Namespace, model: Path, seconds: dict[str, float]) -> Subject:
    """The run's subject: a model of its own, or an adapter."""
    work = args.out / "run"
    is_lora = args.trains == "lora"
    result = work / ("adapter" if is_lora else "model")
    if not result.is_dir():
        fields = recipe(args, model)
        steps = args.steps
        if args.minutes and not args.toy:
            seconds["probe"] = train("probe", fields | {"max_steps": PROBE[1]}, args.out)
            rate = steps_a_second(args.out / "probe" / "metrics.jsonl")
            steps = min(steps or 10**9, round(rate * 60 * args.minutes))
            print(f"{rate:.1f} steps/s: at most {steps:,} steps", flush=True)
        seconds["train"] = train("run", fields | ({"max_steps": steps} if steps else {}), args.out)
    if is_lora:
        return Subject(name="after", folder=str(model), adapter=str(result.resolve()))
    for path in model.iterdir():  # what a run does not write, as the tokenizer's settings
        if path.suffix == ".json" and not (result / path.name).exists() and "index" not in path.name:
            shutil.copyfile(path, result / path.name)
    return Subject(name="after", folder=str(result.resolve()))


def recipe(args: argparse.Namespace, model: Path) -> dict[str, Any]:
    """What is the same in the probe and in the run."""
    part = "lora" if args.trains == "lora" else "full"
    return {
        "path": str(model),
        "language_model": part,
        "vision_model": part,
        "connector": "full",
        **({"r": 64, "lora_alpha": 128} if part == "lora" else {}),
        "data_root": str(args.out / "data"),
        "data_path": "easy_vqa_train.jsonl",
        "max_length": 1024,
        "packing": True,
        "pack_length": 1024 if args.toy else args.pack,
        "dataloader_num_workers": max(1, num_cores() - 1),
        "max_epochs": args.epochs,
        "lr": args.lr,
        "weight_decay": 0.05,
        "warmup_ratio": 0.05,
        "lr_schedule": "cosine",
        "save_steps": 10**6,
        "log_steps": 5,
    }


def train(name: str, fields: dict[str, Any], out: Path) -> float:
    """`ivl train` into OUT/name; its seconds."""
    shutil.rmtree(out / name, ignore_errors=True)
    path = out / "recipes" / f"{name}.yaml"
    write_recipe(path, fields | {"work_dir": str(out / name)})
    return run_one(name, [PYTHON, "-m", "ivl", "train", str(path)], out / "logs" / f"{name}.txt")


def steps_a_second(metrics: Path) -> float:
    steps = [each for each in read_metrics(metrics) if each["kind"] == "step" and each["step"] >= PROBE[0]]
    return float(steps[-1]["step"] - steps[0]["step"]) / float(steps[-1]["time"] - steps[0]["time"])


def ask(args: argparse.Namespace, model: Path, trained: Subject, source: Path) -> Any:
    """The test questions, of the model before and after."""
    settings = EvalSettings(limit=8 if args.toy else None, batch=None if torch.cuda.is_available() else 8)
    subjects = [Subject(name="before", folder=str(model)), trained]
    sets = [open_easy_vqa(source)]
    results = evaluate_side_by_side(subjects, sets, settings, args.out / "eval", args.workers)
    forget_shards(args.out / "eval")
    return results


def told(args: argparse.Namespace, results: Any, seconds: dict[str, float]) -> dict[str, Any]:
    """The results file."""
    scores = {}
    for subject in results.subjects:
        result = results.result("easy-vqa", subject.name)
        scores[subject.name] = {
            "accuracy": vars(result.scores[0]),
            "not_read": result.num_unparsed,
            "not_asked": result.num_failed,
            "by_answer": {value: vars(score) for tag, value, score in result.slices if tag == "answer_type"},
        }
    metrics = args.out / "run" / "metrics.jsonl"
    steps = [each for each in read_metrics(metrics) if each["kind"] == "step"]
    return run_facts(args.commit, seconds) | {
        "trains": args.trains,
        "steps": steps[-1]["step"],
        "losses": [each["loss"] for each in steps[:: max(1, len(steps) // 50)]],
        "scores": scores,
        "gained": vars(paired(results, "before", "after")),
        "target": TARGET,
        "met": scores["after"]["accuracy"]["mean"] >= TARGET,
        "recipe": json.loads(json.dumps(recipe(args, args.model or Path("zoo")))),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="the model's folder")
    parser.add_argument("--source", type=Path, required=True, help="the package easy-vqa: a folder or the wheel")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--results", type=Path, help="the results file, else OUT/results.json")
    parser.add_argument("--trains", choices=("full", "lora"), default="full")
    parser.add_argument("--epochs", type=float, default=14.0)
    parser.add_argument("--steps", type=int, help="at most")
    parser.add_argument("--minutes", type=float, default=4.5, help="of training at most, by a probe; 0: no probe")
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--pack", type=int, default=16_384, help="tokens of a step")
    parser.add_argument("--workers", type=int, default=4, help="processes that answer")
    parser.add_argument("--commit", help="where git cannot tell it")
    parser.add_argument("--toy", action="store_true", help="a few steps and questions, to try the script")
    return parser


if __name__ == "__main__":
    main()
