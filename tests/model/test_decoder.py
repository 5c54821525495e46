"""The decoder's linear maps: one row, shared out over the cores, gives what a whole matrix gives."""

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F

from ivl.model import decoder
from ivl.model.decoder import Linear, product


@pytest.fixture(autouse=True)
def _small_weights_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder, "_WORTH_SHARING", 100)


@pytest.fixture
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("threads", [1, 2, 3], indirect=True)
@pytest.mark.parametrize("shape", [(1, 16), (16,), (1, 1, 16), (2, 16), (0, 16)])
@pytest.mark.parametrize("rows", [4, 12, 13])
@pytest.mark.parametrize("bias", [True, False])
def test_product(threads: int, shape: tuple[int, ...], rows: int, bias: bool) -> None:
    generator = torch.Generator().manual_seed(threads)
    sizes = (shape, (rows, 16), (rows,))
    x, weight, offset = (torch.randn(size, generator=generator, dtype=torch.float64) for size in sizes)
    got = product(x, weight, offset if bias else None)
    assert torch.allclose(got, F.linear(x, weight, offset if bias else None), rtol=0, atol=1e-12)
    assert got.shape == (*shape[:-1], rows)


@pytest.mark.parametrize("threads", [2], indirect=True)
@pytest.mark.parametrize("rows", [1, 3])
def test_a_single_row_learns_as_well(threads: int, rows: int) -> None:
    torch.manual_seed(0)
    linear = Linear(16, 12, bias=True).double()
    x = torch.randn(rows, 16, dtype=torch.float64, requires_grad=True)
    linear(x).square().sum().backward()
    gradient = 2 * F.linear(x, linear.weight, linear.bias).detach()
    assert torch.allclose(linear.weight.grad, gradient.T @ x.detach())
    assert torch.allclose(linear.bias.grad, gradient.sum(0))
    assert torch.allclose(x.grad, gradient @ linear.weight.detach())


def test_linears_have_no_bias_unless_asked() -> None:
    assert Linear(3, 2).bias is None
    assert Linear(3, 2, bias=True).bias is not None


@pytest.mark.parametrize("threads", [2], indirect=True)
@pytest.mark.parametrize(
    ("x", "weight", "parts"),
    [
        (torch.zeros(1, 16), torch.zeros(12, 16), 2),
        (torch.zeros(16), torch.zeros(12, 16), 2),
        (torch.zeros(2, 16), torch.zeros(12, 16), 1),  # BLAS shares these by itself
        (torch.zeros(1, 16), torch.zeros(13, 16), 1),
        (torch.zeros(1, 16), torch.zeros(6, 16), 1),  # too little work
        (torch.zeros(1, 16, dtype=torch.bfloat16), torch.zeros(12, 16, dtype=torch.bfloat16), 1),
        (torch.zeros(1, 16, device="meta"), torch.zeros(12, 16, device="meta"), 1),
    ],
)
def test_what_is_shared(threads: int, x: torch.Tensor, weight: torch.Tensor, parts: int) -> None:
    assert decoder._num_parts(x, weight) == parts
