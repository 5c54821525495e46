"""The tables of docs/sizing.md: how much memory each published InternVL2 takes, task by task.

    python -m tools.sizing_table            prints them in English
    python -m tools.sizing_table --write    puts them into docs/sizing.md and docs/sizing.zh-CN.md

Nothing is estimated by hand. Shapes are `ivl.model.family`'s, training is added up by the book that `ivl train`
consults before its first step, answering by the sizes of weights, cache and what lives for a moment. Where a benchmark
has measured the very same job, its figure stands there instead, in bold.

1 GB is 10^9 bytes, as on the labels of graphics cards and in the output of `ivl train`.
"""

import argparse
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ivl.explain.anatomy import anatomy
from ivl.model.adapter_io import linear_shapes
from ivl.model.config import InternVLConfig
from ivl.model.family import FAMILY, PUBLISHED_PARAMETERS
from ivl.model.names import parameter_shapes, stored_tensors
from ivl.train.activations import Activations, Sizes
from ivl.train.config import TrainConfig
from ivl.train.memory_book import FILL, LIBRARIES, Load, fit
from ivl.types import EngineConfig

ROOT = Path(__file__).parents[1]
PAGES = {"en": ROOT / "docs/sizing.md", "zh": ROOT / "docs/sizing.zh-CN.md"}
MEASURED = ROOT / "benchmarks/results/train-gpu-h100-2b.json"
BEGIN, END = "<!-- begin: python -m tools.sizing_table -->", "<!-- end -->"
MODELS = tuple(name for name in FAMILY if name.startswith("InternVL2-"))
GB = 1e9
SESSION = EngineConfig().session_len
SERVED, SERVED_TOKENS = 16, 4096
"""Conversations at once, and tokens of each."""
TILES = 13
"""Of a large picture, with its thumbnail."""
PREFILL = {"cuda": 8192, "cpu": 1024}
"""Prompt tokens in one step of the engine."""
SAMPLES, SAMPLE_TILES, SAMPLE_TOKENS, RANK = 4, 7, 2091, 128
"""The training job, that of benchmarks/train_gpu.py: a micro batch, tiles and tokens of a sample, rank."""
CARDS = (8, 12, 16, 24, 48, 80, 141)
SPARE_FOR_BOTH = 2**31
"""Up to so many bytes of decoder weights `apply_fused` keeps twice on a CPU."""
PROCESS = 4e8
"""Python with torch, before anything is loaded."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Bytes, and where they are from."""

    num_bytes: float
    is_measured: bool = False

    def __str__(self) -> str:
        text = f"{self.num_bytes / GB:,.1f}" if self.num_bytes < 99.95e9 else f"{self.num_bytes / GB:,.0f}"
        return f"**{text}**" if self.is_measured else text


def answering(config: InternVLConfig, sessions: int, tokens: int, device: str = "cuda") -> float:
    """Weights, the cache of so many sessions, cached features of pictures, and the larger of the moments' needs."""
    size = 2 if device == "cuda" else 4
    weights = parameters(config) * size
    if device == "cpu":
        decoder = size * parameters(config, "language_model.layers.")
        weights += decoder if decoder <= SPARE_FOR_BOTH else 0
    cache = sessions * tokens * config.text.kv_numbers_per_token * size
    base = LIBRARIES if device == "cuda" else PROCESS
    return weights + cache + EngineConfig().vision_cache_bytes + moments(config, device) + base


def answering_int8(config: InternVLConfig) -> float:
    """On a CPU with --quantization int8: products of the language model in bytes, all else in float32; one session."""
    tables = config.text.vocab_size * config.text.hidden_size
    products = sum(
        math.prod(shape) for path, shape in linear_shapes(config).items() if path.startswith("language_model")
    )
    head = tables
    rest = parameters(config) - products - (0 if config.text.tie_embeddings else head)
    cache = SESSION * config.text.kv_numbers_per_token * 4
    return products + head + 4 * rest + cache + EngineConfig().vision_cache_bytes + moments(config, "cpu") + PROCESS


def moments(config: InternVLConfig, device: str) -> float:
    """What lives while a picture is encoded, or while one layer sees a chunk of the prompt; the larger one."""
    size = 2 if device == "cuda" else 4
    book = Activations(config, TrainConfig(), Sizes(typed=size))
    text = config.text
    heads = (text.num_heads + 2 * text.num_kv_heads) * text.head_dim
    layer = PREFILL[device] * size * (4 * text.hidden_size + 2 * heads + 3 * text.intermediate_size)
    return max(book.pixels(TILES) + book.frozen_vision(TILES), layer)


def training(config: InternVLConfig, *, checkpointing: str = "all", ranks: int = 1, **fields: Any) -> float:
    """On the fullest GPU, by the book of `ivl train`."""
    train = TrainConfig(r=RANK, lora_alpha=2 * RANK, activation_checkpointing=checkpointing, **fields)
    load = Load(num_tokens=SAMPLES * SAMPLE_TOKENS, num_tiles=SAMPLES * SAMPLE_TILES, world_size=ranks)
    return fit(config, train, load, None).total


def merging(config: InternVLConfig) -> float:
    """A streamed merge: the adapter of the training job, the largest stored tensor, and the same in float32."""
    shapes = [(path, shape) for path, shape in linear_shapes(config).items() if path.startswith("language_model")]
    adapter = 4 * RANK * sum(sum(shape) for _, shape in shapes)
    largest = max(math.prod(tensor.shape) for tensor in stored_tensors(config, "official").values())
    return PROCESS + adapter + largest * (2 + 4)


def parameters(config: InternVLConfig, prefix: str = "") -> int:
    """Numbers in the weights whose names begin so."""
    return sum(math.prod(shape) for name, shape in parameter_shapes(config).items() if name.startswith(prefix))


Task = Callable[[InternVLConfig], float]
Figures = dict[tuple[str, str], Cell]
"""(model, task) -> bytes."""
FULL: dict[str, Any] = {"language_model": "full", "connector": "full"}
ANSWERING: dict[str, Task] = {
    "chat": partial(answering, sessions=1, tokens=SESSION),
    "serve": partial(answering, sessions=SERVED, tokens=SERVED_TOKENS),
    "cpu": partial(answering, sessions=1, tokens=SESSION, device="cpu"),
    "int8": answering_int8,
    "merge": merging,
}
TRAINING: dict[str, Task] = {
    "lora": training,
    "lora_fast": partial(training, checkpointing="none"),
    "qlora": partial(training, quantization="nf4"),
    "full": partial(training, **FULL),
    "full_8": partial(training, ranks=8, strategy="fsdp2", **FULL),
}
ON_CARDS = ("chat", "serve", "lora", "qlora", "full")
"""The tasks of which the largest model on a card is told."""
WORDS = {
    "model": ("model", "模型"),
    "parameters": ("parameters", "参数量"),
    "disk": ("weights on disk", "权重占用磁盘"),
    "chat": ("chat, GPU", "对话，GPU"),
    "serve": (f"serve {SERVED}, GPU", f"同时服务 {SERVED} 个，GPU"),
    "cpu": ("chat, CPU", "对话，CPU"),
    "int8": ("chat, CPU, int8", "对话，CPU，int8"),
    "merge": ("merge", "合并"),
    "lora": ("LoRA", "LoRA"),
    "lora_fast": ("LoRA, nothing computed twice", "LoRA，不重算"),
    "qlora": ("QLoRA", "QLoRA"),
    "full": ("full, 1 GPU", "全参数，1 块 GPU"),
    "full_8": ("full, each of 8 GPUs", "全参数，8 块 GPU 各占"),
    "card": ("GPU memory", "显存"),
    "none": ("none", "无"),
    "job": ("job", "任务"),
    "measured": ("measured", "实测"),
    "estimated": ("estimated", "估计"),
}


def measured(path: Path = MEASURED) -> dict[tuple[str, str], float]:
    """(model, task) -> bytes, of benchmarks that did exactly this job."""
    rows = json.loads(path.read_text("utf-8"))["rows"]
    ours = [row for row in rows if row["who"] == "ivl" and row["tokens_per_step"] == SAMPLES * SAMPLE_TOKENS]
    return {("InternVL2-2B", "lora" if row["checkpointing"] else "lora_fast"): row["peak_gb"] * GB for row in ours}


def figures() -> Figures:
    """Of every model and task."""
    known, found = measured(), {}
    for name in MODELS:
        found[name, "disk"] = Cell(num_bytes=anatomy(FAMILY[name]).weight_bytes["bfloat16"])
        for task, estimate in (ANSWERING | TRAINING).items():
            figure = known.get((name, task))
            is_measured = figure is not None
            found[name, task] = Cell(num_bytes=figure or estimate(FAMILY[name]), is_measured=is_measured)
    return found


def tables(language: str, found: Figures) -> str:
    """All of them, as Markdown."""
    place = list(PAGES).index(language)

    def titles(*keys: str) -> list[str]:
        return [WORDS[key][place] for key in keys]

    def rows(*tasks: str) -> Iterator[list[str]]:
        return ([str(found[name, task]) for task in tasks] for name in MODELS)

    named = (
        [name, PUBLISHED_PARAMETERS[name], *row] for name, row in zip(MODELS, rows("disk", *ANSWERING), strict=True)
    )
    trained = ([name, *row] for name, row in zip(MODELS, rows(*TRAINING), strict=True))
    nothing = WORDS["none"][place]
    parts = [
        table(titles("model", "parameters", "disk", *ANSWERING), named),
        table(titles("model", *TRAINING), trained),
        table(titles("card", *ON_CARDS), (_card_row(size, found, nothing) for size in CARDS)),
        table(titles("job", "measured", "estimated"), _compared(found, place)),
    ]
    return "\n\n".join(parts)


def _compared(found: Figures, place: int) -> Iterator[list[str]]:
    """What was measured beside what would stand there else."""
    for (name, task), cell in found.items():
        if cell.is_measured:
            estimate = Cell(num_bytes=(ANSWERING | TRAINING)[task](FAMILY[name]))
            yield [f"{name}, {WORDS[task][place]}", str(cell), str(estimate)]


def _card_row(size: int, found: Figures, nothing: str) -> list[str]:
    """The largest model that fits into a card, task by task."""
    row = [f"{size} GB"]
    for task in ON_CARDS:
        fitting = [name for name in MODELS if found[name, task].num_bytes <= FILL * size * GB]
        row.append(fitting[-1] if fitting else nothing)
    return row


def table(titles: Sequence[str], rows: Iterable[list[str]]) -> str:
    """A Markdown table; all columns but the first are to the right."""
    marks = ["---", *["---:"] * (len(titles) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (titles, marks, *rows))


def put_in(page: str, text: str) -> str:
    """The page with `text` between the marks. Raises ValueError for a page without them."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{text}\n{END}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="into both documents")
    if not parser.parse_args().write:
        print(tables("en", figures()))
        return
    found = figures()
    for language, path in PAGES.items():
        path.write_text(put_in(path.read_text("utf-8"), tables(language, found)), "utf-8")


if __name__ == "__main__":
    main()
