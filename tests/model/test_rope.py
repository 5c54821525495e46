"""Rotary embedding: each kind against its formula, and what it depends on."""

import math

import pytest
import torch

from ivl.model.config import RopeConfig, TextConfig
from ivl.model.rope import RotaryEmbedding, rotate


def rope(max_positions: int = 100, **settings: object) -> RotaryEmbedding:
    return RotaryEmbedding(
        TextConfig(
            decoder="llama",
            hidden_size=8,
            num_layers=1,
            num_heads=1,
            num_kv_heads=1,
            head_dim=8,
            intermediate_size=8,
            vocab_size=8,
            max_positions=max_positions,
            rope=RopeConfig(**settings),
        )
    )


def test_angles_fall_as_powers_of_theta() -> None:
    frequencies = rope(theta=10_000.0).frequencies(5, torch.device("cpu"))
    assert torch.allclose(frequencies, torch.tensor([1.0, 0.1, 0.01, 0.001]))


def test_dynamic_base_grows_only_beyond_the_trained_length() -> None:
    dynamic = rope(theta=1e6, kind="dynamic", factor=2.0)
    assert dynamic.base(100) == 1e6
    # base * (f L / M - (f - 1)) ** (d / (d - 2)) for L = 150: a stretch of 2 to the power 8 / 6
    assert dynamic.base(150) == pytest.approx(1e6 * 2 ** (8 / 6))


def test_long_factors_hold_beyond_the_original_length() -> None:
    long = rope(
        1600,
        theta=10_000.0,
        kind="long",
        original_max_positions=100,
        short_factors=(1.0, 1.0, 1.0, 1.0),
        long_factors=(2.0, 4.0, 8.0, 16.0),
    )
    short, far = (long.frequencies(length, torch.device("cpu")) for length in (100, 101))
    assert torch.allclose(short / far, torch.tensor([2.0, 4.0, 8.0, 16.0]))
    assert long.scale == pytest.approx(math.sqrt(1 + math.log(16) / math.log(100)))


def test_a_token_is_turned_by_its_position_and_keeps_its_length() -> None:
    cos, sin = rope(theta=10_000.0).cos_sin(torch.tensor([0, 3]), [2], [2])
    x = torch.randn(2, 1, 8)
    turned = rotate(x, cos[:, None], sin[:, None])
    assert torch.equal(turned[0], x[0])
    assert torch.allclose(turned.norm(dim=-1), x.norm(dim=-1))
    # Half-split: dimension 0 turns with dimension 4.
    expected = x[1, 0, 0] * math.cos(3.0) - x[1, 0, 4] * math.sin(3.0)
    assert torch.allclose(turned[1, 0, 0], expected)
