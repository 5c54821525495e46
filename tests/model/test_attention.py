"""The reference attention against softmax written out."""

import pytest
import torch

from ivl.model.attention import CachedAttention, PackedAttention


def written_out(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Causal attention of one sequence, head by head; query head h reads key head h // G."""
    length, heads, width = q.shape
    group = heads // k.shape[1]
    later = torch.ones(length, length).triu(1).bool()
    out = []
    for head in range(heads):
        scores = (q[:, head] @ k[:, head // group].T / width**0.5).masked_fill(later, -torch.inf)
        out.append(scores.softmax(-1) @ v[:, head // group])
    return torch.stack(out, dim=1)


def tensors(length: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(length)
    return tuple(torch.randn(length, n, 8, generator=generator, dtype=torch.float64) for n in (6, 2, 2))


@pytest.mark.parametrize("lengths", [[7], [4, 4, 4], [5, 1, 8]])
def test_packed(lengths: list[int]) -> None:
    parts = [tensors(length) for length in lengths]
    offsets = [sum(lengths[:i]) for i in range(len(lengths) + 1)]
    packed = [torch.cat(column) for column in zip(*parts, strict=True)]
    expected = torch.cat([written_out(*part) for part in parts])
    assert torch.allclose(PackedAttention(offsets)(0, *packed), expected, rtol=0, atol=1e-12)


def test_cached_step_by_step() -> None:
    q, k, v = tensors(9)
    cached = CachedAttention(1, 2, 8, capacity=9, like=q)
    out = [cached(0, q[:4], k[:4], v[:4])]
    cached.advance(4)
    for i in range(4, 9):
        out.append(cached(0, q[i : i + 1], k[i : i + 1], v[i : i + 1]))
        cached.advance(1)
    assert torch.allclose(torch.cat(out), written_out(q, k, v), rtol=0, atol=1e-12)
