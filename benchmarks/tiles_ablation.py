"""What tiles, thumbnail and pixel shuffle are worth: accuracy on small things and documents, tokens, time.

    PYTHONPATH=src:. python benchmarks/tiles_ablation.py --model out/nano/ivl-nano --out out/tiles --commit HASH
    PYTHONPATH=src:. python benchmarks/tiles_ablation.py --toy --out /tmp/tiles      on a CPU, to see that it works

Accuracy: new scenes of up to eight small things and new documents, of 672 x 448 and 896 x 672 pixels, through `ivl
eval`'s evaluation with 1, 6 and 12 tiles a picture at most; without thumbnail is `use_thumbnail: false` in a copy of
the model's config. Time: one question about a picture of 896 x 672, from the decoded picture to the first token, and
all of them at once; caches are off. Pixel shuffle: prefill of random weights of the same shape with 64 and with 256
tokens a tile, for the shape with 256 was never trained.
"""

import argparse
import multiprocessing
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from food_story.answering import CACHE_SHARE, answer_shard
from food_story.cutting import CUTTINGS, Cutting, measure_cutting, measure_shuffle, without_thumbnail
from food_story.facts import run_facts
from food_story.processes import num_cores
from food_story.small_things import write_small_things
from PIL import Image

from ivl.evals.clusters import cluster_of
from ivl.evals.intervals import mean_interval, paired_difference
from ivl.evals.item import Item, Prediction, Subject
from ivl.evals.report import to_json
from ivl.evals.runner import evaluate
from ivl.evals.sets import open_sets
from ivl.evals.settings import EvalSettings
from ivl.model.config_io import load_config
from ivl.zoo import nano_folder

Said = list[tuple[Item, Prediction]]
FACTORS = (2, 1)
"""Of pixel shuffle: patches along a side that become one token; 2 is the models' own."""
SHUFFLED_TILES = (1, 7, 13)
BASE = "1 tile"
"""What all others are compared with, item by item."""


def main() -> None:
    args = _parser().parse_args()
    if not args.model and not args.toy:
        sys.exit("--model FOLDER is needed")
    model = (args.model or nano_folder()).resolve()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    number, pictures, repeats = (6, 3, 1) if args.toy else (args.number, args.pictures, 10)
    seconds, began = dict[str, float](), time.monotonic()
    if not (args.out / "tiles.jsonl").is_file():
        write_small_things(args.pack, args.fonts, args.out, number, args.seed, device)
    seconds["sets"] = _since(began)
    folders = {True: model, False: without_thumbnail(model, args.out / "no-thumbnail")}
    began = time.monotonic()
    accuracy = measure_accuracy(folders, args)
    seconds["accuracy"] = _since(began)
    began = time.monotonic()
    shown = [_opened(path) for path in sorted((args.out / "pictures").glob("*.jpg"))]
    shown = [picture for picture in shown if args.toy or picture.size == (896, 672)][:pictures]
    speed = [measure_cutting(each, folders[each.thumbnail], shown, 16 if args.toy else 128) for each in CUTTINGS]
    config, tiles = load_config(model), SHUFFLED_TILES[:1] if args.toy else SHUFFLED_TILES
    shuffle = [measure_shuffle(config, factor, each, device, repeats) for each in tiles for factor in FACTORS]
    seconds["speed"] = _since(began)
    data = {"run": run_facts(args.commit, seconds), "accuracy": accuracy, "speed": speed, "pixel_shuffle": shuffle}
    (args.out / "results.json").write_text(to_json(data), "utf-8")
    (args.out / "tables.md").write_text(markdown(data), "utf-8")
    print(markdown(data))


def measure_accuracy(folders: Mapping[bool, Path], args: argparse.Namespace) -> list[dict[str, Any]]:
    """Each group of questions under each setting; all settings side by side in processes."""
    sets = open_sets([str(args.out / "tiles.jsonl")])
    settings = {each.name: _settings(each, args.toy) for each in CUTTINGS}
    subjects = {each.name: [Subject(name="model", folder=str(folders[each.thumbnail]))] for each in CUTTINGS}
    outs = {each.name: args.out / "eval" / each.name.replace(" ", "-").replace(",", "") for each in CUTTINGS}
    at_once = min(args.workers, len(CUTTINGS))
    with ProcessPoolExecutor(at_once, mp_context=multiprocessing.get_context("spawn")) as pool:
        threads, share = num_cores() // at_once, CACHE_SHARE / at_once
        futures = [
            pool.submit(answer_shard, subjects[name], settings[name], share, threads, sets, outs[name])
            for name in settings
        ]
        for future in futures:
            future.result()
    said: dict[str, Said] = {}
    for name in settings:
        results = evaluate(subjects[name], sets, settings[name], outs[name])
        said[name] = [
            pair
            for each in results.sets
            for pair in zip(each.items, results.result(each.name, "model").predictions[0], strict=True)
        ]
    return list(_groups(said))


def markdown(data: dict[str, Any]) -> str:
    """The tables."""
    names = [each.name for each in CUTTINGS]
    rows = [(row["title"], *(_cell(row["scores"][name]) for name in names)) for row in data["accuracy"]]
    parts = ["# Tiles, thumbnail, pixel shuffle", "## Right answers (95% interval; n)", _table(("", *names), rows)]
    rows = [
        (row["title"], *("–" if name == BASE else _cell(row["gained"][name], "+") for name in names))
        for row in data["accuracy"]
    ]
    parts += [f"## Gained over {BASE}, item by item, in points", _table(("", *names), rows)]
    titles: tuple[str, ...] = ("", "prompt tokens", "first token, ms", "questions/s, all at once")
    rows = [
        (
            each["setting"],
            f"{each['prompt_tokens']:,.0f}",
            f"{1000 * each['first_token_s']:.1f}",
            f"{each['questions_per_s']:.0f}",
        )
        for each in data["speed"]
    ]
    parts += ["## Time, pictures of 896 x 672", _table(titles, rows)]
    titles = ("tiles", "tokens a tile", "prompt tokens", "prefill, ms", "cache, KiB")
    rows = [
        (
            str(each["tiles"]),
            str(each["tokens_per_tile"]),
            f"{each['prompt_tokens']:,}",
            f"{1000 * each['prefill_s']:.2f}",
            f"{each['cache_bytes'] / 1024:,.0f}",
        )
        for each in data["pixel_shuffle"]
    ]
    parts += ["## Pixel shuffle, random weights of the same shape", _table(titles, rows)]
    run = data["run"]
    parts.append(_table(("", ""), [(name, f"{run[name]}") for name in ("device", "commit", "command", "seconds")]))
    return "\n\n".join(parts) + "\n"


def _groups(said: Mapping[str, Said]) -> Sequence[dict[str, Any]]:
    """Scores by group and by ability, and what each setting gains over the first."""
    tags = [dict(item.tags) for item, _ in said[BASE]]
    titles = [("group", value) for value in ("small things", "documents")]
    titles += [("ability", value) for value in dict.fromkeys(tag["ability"] for tag in tags) if value != "ocr"]
    rows = []
    for name, value in titles:
        kept = [place for place, tag in enumerate(tags) if tag[name] == value]
        scores = {setting: [pairs[place][1].score for place in kept] for setting, pairs in said.items()}
        clusters = [cluster_of(said[BASE][place][0]) for place in kept]
        rows.append(
            {
                "title": value,
                "scores": {setting: asdict(mean_interval(values, clusters)) for setting, values in scores.items()},
                "gained": {
                    setting: asdict(paired_difference(scores[BASE], values, clusters))
                    for setting, values in scores.items()
                    if setting != BASE
                },
            }
        )
    return rows


def _settings(cutting: Cutting, is_toy: bool) -> EvalSettings:
    batch = None if torch.cuda.is_available() else 8
    return EvalSettings(max_tiles=cutting.max_tiles, limit=2 if is_toy else None, batch=batch)


def _opened(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        return picture.convert("RGB")


def _since(began: float) -> float:
    return round(time.monotonic() - began, 1)


def _cell(score: dict[str, Any], sign: str = "") -> str:
    mean, low, high = (100 * score[name] for name in ("mean", "low", "high"))
    return f"{mean:{sign}.1f} ({low:{sign}.1f} to {high:{sign}.1f}; {score['n']:,})"


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (titles, ["---"] * len(titles), *rows))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="the model's folder")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pack", type=Path, default=Path("out/nano/pack.npz"))
    parser.add_argument("--fonts", type=Path, default=Path("out/nano/fonts"))
    parser.add_argument("--number", type=int, default=640, help="questions about small things, and about documents")
    parser.add_argument("--pictures", type=int, default=32, help="that times are taken with")
    parser.add_argument("--seed", type=int, default=5001)
    parser.add_argument("--workers", type=int, default=5, help="processes that answer")
    parser.add_argument("--commit", help="where git cannot tell it")
    parser.add_argument("--toy", action="store_true", help="next to nothing of everything, to try the script")
    return parser


if __name__ == "__main__":
    main()
