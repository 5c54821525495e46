"""The model before training: a tokenizer learned from the training texts, and random weights.

    python -m tools.nano.start --data out/nano/data --out out/nano/start

In: the JSONL files that `generate.py` wrote. Out: a folder in the official layout, float32, that `ivl train` begins
with. The same data and seed give the same bytes.
"""

import argparse
import json
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from tools.foods.facts import load_foods
from tools.nano.setting import dish_names
from tools.seedling.text import FIRST, LAST, SYSTEM, save_tokenizer
from torch import nn

from ivl.model.config import InternVLConfig, RopeConfig, TextConfig, VisionConfig
from ivl.model.internvl import InternVL
from ivl.model.weights import save_model

VOCABULARY = 3328
"""Tokens, all special ones included."""
FILES = ("sheets", "scenes", "large", "several", "documents", "words")
_MOST_LINES = 20_000
"""Of each file, that the tokenizer learns from."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("out/nano/data"))
    parser.add_argument("--out", type=Path, default=Path("out/nano/start"))
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    tokenizer = train_tokenizer(args.data, dish_names(load_foods()))
    torch.manual_seed(args.seed)
    model = InternVL(nano_config(tokenizer.get_vocab_size(), tokenizer.token_to_id("<IMG_CONTEXT>")))
    initialise(model)
    save_model(model, args.out, layout="official")
    save_tokenizer(tokenizer, args.out)
    parts = (model.vision_model, model.connector, model.language_model)
    print(*(f"{sum(each.numel() for each in part.parameters()):,}" for part in (*parts, model)))


def nano_config(vocab_size: int, image_token_id: int) -> InternVLConfig:
    """11 million parameters; tiles of 224 pixels in patches of 14 make 64 image tokens."""
    vision = VisionConfig(
        hidden_size=256, num_layers=8, num_heads=4, intermediate_size=1024, image_size=224, patch_size=14
    )
    text = TextConfig(
        decoder="internlm2",
        hidden_size=256,
        num_layers=5,
        num_heads=4,
        num_kv_heads=2,
        head_dim=64,
        intermediate_size=512,
        vocab_size=vocab_size,
        max_positions=4096,
        norm_eps=1e-5,
        rope=RopeConfig(theta=10000.0),
    )
    return InternVLConfig(
        vision=vision, text=text, image_size=vision.image_size, max_tiles=12, image_token_id=image_token_id
    )


def initialise(model: InternVL) -> None:
    """Random weights: small normal, residual outputs smaller by depth, LayerScale 0.3."""
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.trunc_normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
    vision = model.vision_model
    nn.init.trunc_normal_(vision.position_embedding, std=0.02)
    nn.init.trunc_normal_(vision.class_embedding, std=0.02)
    for layer in vision.layers:
        nn.init.constant_(layer.scale1, 0.3)
        nn.init.constant_(layer.scale2, 0.3)
    depth = math.sqrt(2 * len(model.language_model.layers))
    for layer in model.language_model.layers:
        for linear in (layer.attention.o_proj, layer.mlp.down_proj):
            nn.init.trunc_normal_(linear.weight, std=0.02 / depth)


def train_tokenizer(data: Path, names: dict[str, list[str]]) -> Tokenizer:
    """A byte-level BPE of what is asked and answered.

    While it learns, a Chinese character stands alone, so no merge joins one with its neighbours and a name is the same
    tokens wherever it stands. The file itself needs only the plain byte-level rule.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\p{Han}"), behavior="isolated"),
            pre_tokenizers.Split(Regex(r"\p{N}"), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(LAST),
        special_tokens=list(FIRST),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_corpus(data, names), trainer)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in LAST])
    bos = tokenizer.token_to_id("<s>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", bos)]
    )
    return tokenizer


def _corpus(data: Path, names: dict[str, list[str]]) -> list[str]:
    """What is said in the data, every Chinese character of it often enough to be a token, and the names of dishes."""
    lines = list(_said(data))
    han = Counter(char for line in lines for char in line if "\u4e00" <= char <= "\u9fff")
    rare = [char for char, number in han.items() if number >= 3] * 40
    dishes = [f"{mark}{name}" for name in names["en"] for mark in ("", " ")] + names["zh"]
    return [*lines, *rare, *dishes * 40, *[SYSTEM, "system\n", "user\n", "assistant\n"] * 500]


def _said(data: Path) -> Iterator[str]:
    for name in FILES:
        with (data / f"{name}.jsonl").open(encoding="utf-8") as file:
            for _, line in zip(range(_MOST_LINES), file, strict=False):
                for turn in json.loads(line)["conversations"]:
                    yield turn["value"].replace("<image>", "")


if __name__ == "__main__":
    main()
