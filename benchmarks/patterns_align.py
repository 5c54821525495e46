"""A Q-Former's first stage: ITC + ITM + ITG on pictures and sentences, before it meets the language model.

    ivl init --model MODEL --connector qformer --qformer num_queries=64 -o START
    PYTHONPATH=src python benchmarks/patterns_align.py --model START --data train.jsonl --images FOLDER --out ALIGNED

In: a model folder with a Q-Former, and data whose answers make sentences (`patterns_data.py`). Out: the same model
whose Q-Former has been aligned with text; the last linear map stays fresh, for it belongs to the second stage. The
vision model is frozen: each picture is encoded once, as one tile. What only reads text is thrown away at the end.
BLIP-2 begins from BERT's weights; here there are none, so both sides begin from random ones.
"""

import argparse
import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from patterns_data import Pictured, batches, read_sentences
from patterns_losses import Alignment, Sentences, TextSide
from torch import Tensor

from ivl import load_image, load_model, load_processor, split_tiles, tiles_to_tensor
from ivl.errors import ConfigError
from ivl.model.internvl import InternVL
from ivl.model.qformer import QFormerConnector
from ivl.processing import Processor
from ivl.train.output import write_run_model

_TILES_AT_ONCE = 32


@dataclass(frozen=True, kw_only=True)
class AlignSettings:
    """How it is aligned; where nothing is said, BLIP-2's values for what does not depend on the amount of data."""

    samples: int
    """Pairs of picture and sentence, over all steps: this is what counts in a budget."""
    batch: int = 32
    """Pairs of a step; the others of a step are a pair's negatives."""
    lr: float = 5e-4
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.98)
    warmup_ratio: float = 0.1
    most_tokens: int = 40
    """Of a sentence with its two marks; longer ones are cut."""
    seed: int = 0

    @property
    def steps(self) -> int:
        return max(1, self.samples // self.batch)

    def rate(self, step: int) -> float:
        """Learning rate of a step from 0, as a share of `lr`: it rises, then falls to 0 as a cosine."""
        rising = max(1, round(self.warmup_ratio * self.steps))
        if step < rising:
            return (step + 1) / rising
        return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, self.steps - rising)))


@dataclass(frozen=True, kw_only=True)
class Aligned:
    """What it cost, and how the losses went."""

    steps: int
    samples: int
    seconds: float
    """Of it all: encoding the pictures and every step."""
    num_parameters: int
    """That trained, those that were thrown away included."""
    num_thrown: int
    curve: list[dict[str, float]]
    """Each step's step, itc, itm, itg."""


def align(model: InternVL, processor: Processor, pictured: Sequence[Pictured], settings: AlignSettings) -> Aligned:
    """Train `model.connector` in place; all else is frozen. Raises ConfigError where the connector is no Q-Former."""
    began = time.perf_counter()
    config, connector = model.config.qformer, model.connector
    if config is None or not isinstance(connector, QFormerConnector):
        raise ConfigError(f"the model's connector is of the kind {model.config.connector!r}: a Q-Former is needed")
    device = model.vision_model.class_embedding.device
    patches = encode(model, pictured)
    torch.manual_seed(settings.seed)
    text = TextSide(config, model.config.text.vocab_size, settings.most_tokens).to(device)
    alignment = Alignment(connector, text).train()
    for name, parameter in connector.named_parameters():
        parameter.requires_grad_(not name.startswith("proj."))
    trained = [parameter for parameter in alignment.parameters() if parameter.requires_grad]
    optimizer = _optimizer(trained, settings)
    generator = torch.Generator().manual_seed(settings.seed)
    curve = []
    for step, batch in enumerate(batches(pictured, settings.batch, settings.steps, settings.seed)):
        for group in optimizer.param_groups:
            group["lr"] = settings.lr * settings.rate(step)
        sentences = to_sentences([said for _, said in batch], processor, text, settings.most_tokens).to(device)
        losses = alignment(patches[[number for number, _ in batch]].to(device), sentences, generator)
        optimizer.zero_grad()
        losses.total.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        with torch.no_grad():
            text.temperature.clamp_(0.001, 0.5)
        curve.append({"step": step + 1} | {name: float(value.detach()) for name, value in vars(losses).items()})
    connector.requires_grad_(True)
    return Aligned(
        steps=settings.steps,
        samples=settings.steps * settings.batch,
        seconds=time.perf_counter() - began,
        num_parameters=sum(parameter.numel() for parameter in trained),
        num_thrown=sum(parameter.numel() for parameter in text.parameters()),
        curve=curve,
    )


@torch.no_grad()
def encode(model: InternVL, pictured: Sequence[Pictured]) -> Tensor:
    """What the connector reads of each picture as one tile, on the CPU: (pictures, P, C)."""
    device = model.vision_model.class_embedding.device
    found = []
    for start in range(0, len(pictured), _TILES_AT_ONCE):
        some = pictured[start : start + _TILES_AT_ONCE]
        tiles = [split_tiles(load_image(each.picture), max_tiles=1, tile_size=model.config.image_size) for each in some]
        found.append(
            model.shuffled_patches(tiles_to_tensor([tile for each in tiles for tile in each]).to(device)).cpu()
        )
    return torch.cat(found)


def to_sentences(texts: Sequence[str], processor: Processor, text: TextSide, most_tokens: int) -> Sentences:
    """Texts as tokens, the first and last mark included, filled up to the longest."""
    rows = [[text.compare_id, *processor.tokenizer.encode(each)[: most_tokens - 2], text.end_id] for each in texts]
    longest = max(len(row) for row in rows)
    ids = torch.tensor([row + [text.end_id] * (longest - len(row)) for row in rows])
    lengths = torch.tensor([len(row) for row in rows])
    return Sentences(ids=ids, real=torch.arange(longest)[None] < lengths[:, None])


def _optimizer(parameters: Sequence[torch.nn.Parameter], settings: AlignSettings) -> torch.optim.Optimizer:
    """AdamW; norms, biases and the temperature do not decay."""
    groups = [
        {"params": [each for each in parameters if each.dim() >= 2], "weight_decay": settings.weight_decay},
        {"params": [each for each in parameters if each.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.lr, betas=settings.betas)


def align_folder(start: Path, data: Path, images: Path, out: Path, settings: AlignSettings, device: str) -> Aligned:
    """Align the model in `start` and write it as the new folder `out`, with `alignment.json` beside its weights."""
    model = load_model(start, device, "float32")
    for part in (model.vision_model, model.language_model):
        part.requires_grad_(False)
    aligned = align(model, load_processor(start), read_sentences(data, images), settings)
    write_run_model(out, model.config, dict(model.named_parameters()), start)
    (out / "alignment.json").write_text(json.dumps(asdict(aligned) | {"settings": asdict(settings)}, indent=1), "utf-8")
    return aligned


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="a folder whose connector is a Q-Former")
    parser.add_argument("--data", type=Path, required=True, help="records in LLaVA's layout, JSON Lines")
    parser.add_argument("--images", type=Path, required=True, help="the folder of their pictures")
    parser.add_argument("--out", type=Path, required=True, help="the new model folder")
    parser.add_argument("--samples", type=int, default=4000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=AlignSettings.lr)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    settings = AlignSettings(samples=args.samples, batch=args.batch, lr=args.lr, seed=args.seed)
    aligned = align_folder(args.model, args.data, args.images, args.out, settings, args.device)
    last = aligned.curve[-1]
    print(
        f"{args.out}: {aligned.steps} steps, {aligned.seconds:.1f} s, itc {last['itc']:.3f}, itm {last['itm']:.3f}, "
        f"itg {last['itg']:.3f}; {aligned.num_thrown:,} parameters of the text side are gone"
    )


if __name__ == "__main__":
    main()
