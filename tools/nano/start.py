"""The model before training: a tokenizer learned from the training texts, and random weights.

    python -m tools.nano.start --data out/nano/data --out out/nano/start

In: the JSONL files that `generate.py` wrote, which `tokenizer.py` learns from. Out: a folder in the official layout,
float32, that `ivl train` begins with. The same data and seed give the same bytes.
"""

import argparse
import math
from pathlib import Path

import torch
from tokenizers import AddedToken
from tools.foods.facts import load_foods
from tools.nano.maps import map_signs
from tools.nano.setting import dish_names
from tools.nano.tokenizer import save_tokenizer, train_tokenizer
from torch import nn

from ivl.model.config import InternVLConfig, RopeConfig, TextConfig, VisionConfig
from ivl.model.internvl import InternVL
from ivl.model.weights import save_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("out/nano/data"))
    parser.add_argument("--out", type=Path, default=Path("out/nano/start"))
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    tokenizer = train_tokenizer(args.data, dish_names(load_foods()))
    # Last of all, so that they can be cut off again.
    tokenizer.add_tokens([AddedToken(sign, normalized=False) for sign in map_signs()])
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


if __name__ == "__main__":
    main()
