"""A tiny model with random weights, for tests that need no golden."""

from dataclasses import replace

import torch

from ivl.model.config import InternVLConfig, RopeConfig, TextConfig, VisionConfig
from ivl.model.internvl import InternVL

IMAGE_TOKEN = 90
CONFIG = InternVLConfig(
    vision=VisionConfig(hidden_size=32, num_layers=2, num_heads=2, intermediate_size=48, image_size=56),
    text=TextConfig(
        decoder="qwen2",
        hidden_size=48,
        num_layers=2,
        num_heads=6,
        num_kv_heads=2,
        head_dim=8,
        intermediate_size=64,
        vocab_size=96,
        max_positions=64,
        rope=RopeConfig(theta=1e4, kind="dynamic", factor=2.0),
    ),
    image_size=56,
    image_token_id=IMAGE_TOKEN,
)


def make_model(config: InternVLConfig = CONFIG, seed: int = 0, **text: object) -> InternVL:
    """A model in float64, whose logits tell apart what float32 noise would blur."""
    model = InternVL(replace(config, text=replace(config.text, **text))).double().eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            is_norm = parameter.dim() == 1 and name.endswith("weight")
            parameter.copy_(1 + 0.2 * noise if is_norm else noise / parameter.shape[-1] ** 0.5)
    return model


def random_ids(length: int, seed: int = 1) -> torch.Tensor:
    """(length,) ids without image tokens."""
    return torch.randint(0, IMAGE_TOKEN, (length,), generator=torch.Generator().manual_seed(seed))


def random_tiles(count: int, seed: int = 2) -> torch.Tensor:
    """(count, 3, 56, 56) float64."""
    return torch.randn(count, 3, 56, 56, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def prompt_with_tiles(count: int, text: int = 6) -> torch.Tensor:
    """Ids of `text` tokens, `count` tiles' image tokens, and `text` tokens again."""
    places = torch.full((count * CONFIG.tokens_per_tile,), IMAGE_TOKEN)
    return torch.cat((random_ids(text), places, random_ids(text, seed=3)))
