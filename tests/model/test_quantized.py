"""Int8 products: exact sums, errors of rounding only, no influence between tokens, the small model keeps its words."""

from copy import deepcopy
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from ivl import load_model
from ivl.errors import SettingsError
from ivl.model import quantized
from ivl.model.fused import apply_fused
from ivl.model.internvl import InternVL
from ivl.model.quantized import Int8Linear, apply_int8, weight_levels
from ivl.zoo import nano_folder
from random_model import make_model, prompt_with_tiles, random_tiles

TOP = weight_levels()


def rounded(x: torch.Tensor, top: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Integers of at most `top` in size and the scale of each row, the plain way."""
    scale = x.abs().amax(dim=-1, keepdim=True) / top
    return (x / scale).round(), scale


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("rows", "width", "out"), [(1, 32, 8), (3, 70, 33), (40, 1024, 48)])
def test_products_are_those_of_integers(rows: int, width: int, out: int, bias: bool) -> None:
    torch.manual_seed(0)
    source, x = nn.Linear(width, out, bias=bias), torch.randn(rows, width)
    (weight, weight_scale), (tokens, token_scale) = rounded(source.weight.detach(), TOP), rounded(x, 127)
    sums = tokens.long() @ weight.long().T  # exact
    wanted = sums.double() * token_scale * weight_scale.T
    if bias:
        wanted += source.bias.detach()
    with torch.inference_mode():
        got = Int8Linear(source.weight, source.bias, TOP)(x)
    # A quotient that lies between two integers may be rounded either way: one step at most here and there.
    step = (token_scale * weight_scale.T * TOP).max() * 2
    assert (got - wanted).abs().max() < step
    assert (got - wanted).abs().median() < 1e-5


def test_sums_do_not_overflow() -> None:
    """All numbers at their largest, of one sign: where two products of bytes overflow 16 bits."""
    x = torch.ones(5, 4096)
    x[1:] *= -1
    with torch.inference_mode():
        got = Int8Linear(torch.ones(64, 4096), None, TOP)(x)
    assert torch.allclose(got, torch.tensor([1.0] + [-1.0] * 4)[:, None] * 4096, rtol=1e-6)


def test_a_token_does_not_depend_on_its_neighbours() -> None:
    torch.manual_seed(0)
    product, x = Int8Linear(torch.randn(48, 64), torch.randn(48), TOP), torch.randn(9, 64)
    x[4] *= 1e4
    with torch.inference_mode():
        together = product(x)
        for i in range(9):
            assert torch.equal(product(x[i : i + 1])[0], together[i])
            assert torch.equal(product(x[i]), together[i])


def test_zeros_and_what_is_not_finite() -> None:
    product = Int8Linear(torch.randn(8, 16), None, TOP)
    x = torch.zeros(3, 16)
    x[1, 3], x[2, 5] = float("nan"), float("inf")
    with torch.inference_mode():
        out = product(x)
    assert out[0].eq(0).all()
    assert not out[1:].isfinite().any()
    assert Int8Linear(torch.zeros(8, 16), None, TOP)(torch.ones(2, 16)).eq(0).all()


@pytest.mark.parametrize("ties", [True, False])
@pytest.mark.parametrize("fuses", [True, False])
def test_the_language_model_and_nothing_else_is_replaced(ties: bool, fuses: bool) -> None:
    model = make_model(tie_embeddings=ties).float()
    model = apply_int8(apply_fused(model) if fuses else model)
    names = {name for name, module in model.named_modules() if isinstance(module, Int8Linear)}
    per_layer = 4 if fuses else 7
    assert len(names) == 2 * per_layer + 1
    assert all(name.startswith("language_model.") for name in names)
    assert not any(isinstance(module, nn.Linear) for module in model.language_model.modules())
    qkv = model.language_model.layers[0].attention.get_submodule("qkv_proj" if fuses else "q_proj")
    assert qkv.parts == ((("q_proj", 48), ("k_proj", 16), ("v_proj", 16)) if fuses else (("q_proj", 48),))
    assert model.language_model.embed_tokens.weight.dtype == torch.float32


def test_a_model_stays_near_its_own_numbers() -> None:
    model, ids, tiles = make_model(qkv_bias=True).float(), prompt_with_tiles(2), random_tiles(2).float()
    small = apply_int8(apply_fused(deepcopy(model)))
    with torch.inference_mode():
        wanted, got = model(ids, tiles).logits, small(ids, tiles).logits
    assert (got - wanted).abs().mean() < 0.05 * wanted.std()


@dataclass(frozen=True)
class Asked:
    """Some ids and tiles."""

    ids: torch.Tensor
    tiles: torch.Tensor


def test_the_small_model_keeps_its_words() -> None:
    model = load_model(nano_folder())
    asked = question(model)
    small = apply_int8(apply_fused(deepcopy(model)))
    with torch.inference_mode():
        wanted = model(asked.ids, asked.tiles).logits[-40:]
        got = small(asked.ids, asked.tiles).logits[-40:]
    assert (got - wanted).abs().mean() < 0.04 * wanted.std()
    sure = (wanted.topk(2).values[:, 0] - wanted.topk(2).values[:, 1]) > 1
    assert sure.any()
    assert torch.equal(got.argmax(-1)[sure], wanted.argmax(-1)[sure])


def question(model: InternVL) -> Asked:
    """One tile of a smooth picture and some text."""
    config, generator = model.config, torch.Generator().manual_seed(0)
    text = torch.randint(0, 2000, (60,), generator=generator)
    image = torch.full((config.tokens_per_tile,), config.image_token_id)
    coarse = torch.randn(1, 3, 6, 6, generator=generator)
    tiles = nn.functional.interpolate(coarse, size=config.image_size, mode="bicubic")
    return Asked(torch.cat((text[:20], image, text[20:])), tiles)


def test_torch_keeps_its_engine() -> None:
    before = torch.backends.quantized.engine
    apply_int8(make_model().float())
    assert torch.backends.quantized.engine == before


def test_where_it_cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="the model is on meta"):
        apply_int8(make_model().to("meta"))
    monkeypatch.setattr(quantized, "ENGINE", "no such engine")
    with pytest.raises(SettingsError, match="needs an x86 processor"):
        apply_int8(make_model().float())
    monkeypatch.undo()
    fake = SimpleNamespace(linear_prepack=None)
    monkeypatch.setattr(torch.ops, "quantized", fake)
    with pytest.raises(SettingsError, match="leave it None"):
        apply_int8(make_model().float())
