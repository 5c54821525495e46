"""A model of 50 million parameters in InternVL2's shape, with random weights, and prompts for it.

In: a decoder family, a number of tiles, a seed. Out: a configuration, an `InternVL`, a `Prompt`. Knows
nothing of clocks and engines. Speed does not depend on the values of the weights; but they are scaled such
that answers are not one token over and over, so that equal answers mean something.

As in the release: tiles of 448 pixels, patches of 14, 256 image tokens a tile, grouped heads of 64.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ivl.model.config import Decoder, InternVLConfig, RopeConfig, TextConfig, VisionConfig
from ivl.model.internvl import InternVL

IMAGE_TOKEN = 16383


def make_config(decoder: Decoder = "internlm2") -> InternVLConfig:
    """InternViT of 12 layers, 384 wide; a decoder of 8 layers, 512 wide, 8 query and 4 key-value heads."""
    return InternVLConfig(
        vision=VisionConfig(hidden_size=384, num_layers=12, num_heads=6, intermediate_size=1536),
        text=TextConfig(
            decoder=decoder,
            hidden_size=512,
            num_layers=8,
            num_heads=8,
            num_kv_heads=4,
            head_dim=64,
            intermediate_size=1024,
            vocab_size=IMAGE_TOKEN + 1,
            max_positions=8192,
            qkv_bias=decoder == "qwen2",
            tie_embeddings=True,
            rope=RopeConfig(theta=1e6),
        ),
        image_token_id=IMAGE_TOKEN,
    )


def make_large_config(decoder: Decoder = "internlm2") -> InternVLConfig:
    """InternViT of 12 layers, 768 wide; a decoder of 16 layers, 1024 wide, 16 query and 8 key-value heads.

    296 million parameters: 86 in the vision model, 4 in the connector, 206 in the decoder.
    """
    small = make_config(decoder)
    return replace(
        small,
        vision=replace(small.vision, hidden_size=768, num_heads=12, intermediate_size=3072),
        text=replace(small.text, hidden_size=1024, num_layers=16, num_heads=16, num_kv_heads=8, intermediate_size=2816),
    )


def make_model(config: InternVLConfig, seed: int = 0) -> InternVL:
    """A float32 model in eval mode whose every parameter is drawn from `seed`."""
    generator = torch.Generator().manual_seed(seed)
    model = InternVL(config).eval().requires_grad_(False)
    for name, parameter in model.named_parameters():
        parameter.normal_(*_moments(name, parameter), generator=generator)
    return model


def _moments(name: str, parameter: Tensor) -> tuple[float, float]:
    """Mean and standard deviation of a parameter's numbers."""
    if ".norm" in name or "_norm" in name or ".scale" in name:
        return (0.0 if name.endswith("bias") else 1.0), 0.1
    if "embed_tokens" in name or parameter.dim() == 1:
        return 0.0, 0.05
    # Attention that said more would make every token's answer the same: it sees the same picture from each.
    gain = 0.3 if "language_model" in name and "o_proj" in name else 1.0
    return 0.0, gain * parameter.shape[-1] ** -0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class Prompt:
    """What both engines are given. T tokens, N tiles, S pixels a side."""

    input_ids: Tensor
    """(T,) int64."""
    pixel_values: Tensor
    """(N, 3, S, S) float32, as after normalisation."""


def make_prompt(config: InternVLConfig, tiles: int, text_tokens: int, seed: int = 1) -> Prompt:
    """Random text around the image tokens of one picture of `tiles` tiles of noise."""
    generator = torch.Generator().manual_seed(seed)
    assert config.image_token_id is not None, "the stand-in names its image token"
    text = torch.randint(0, config.image_token_id, (text_tokens,), generator=generator)
    image = torch.full((tiles * config.tokens_per_tile,), config.image_token_id)
    before, after = text.split((text_tokens // 2, text_tokens - text_tokens // 2))
    size = config.image_size
    pixels = torch.randn(tiles, 3, size, size, generator=generator)
    return Prompt(input_ids=torch.cat((before, image, after)), pixel_values=pixels)
