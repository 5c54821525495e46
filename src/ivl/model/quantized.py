"""Products of 8-bit integers instead of floats, on an x86 CPU: `apply_int8(model)`, from outside, after `apply_fused`.

In: an `InternVL` in memory. Out: the same model, in place, whose language model (head included) multiplies with int8
weights; vision model and connector stay as they are. It can no longer be trained or saved.
Knows no files and no engine.

A weight's scale is per output channel and fixed; an input's is per token and taken anew in each call ("dynamic"), so
what a token gives does not depend on what else is in the batch. Sums are exact: the only errors are roundings.

Shapes: T tokens, D width in, N width out.
"""

import warnings
from typing import TypeAlias

import torch
from torch import Tensor, nn

from ivl.errors import SettingsError
from ivl.model.fused import JoinedLinear
from ivl.model.internvl import InternVL

Parts: TypeAlias = tuple[tuple[str, int], ...]
"""Names and widths of what a product joins, in the order of its outputs."""
ENGINE = "fbgemm"
# Inputs are unsigned bytes with this zero: -127..127 becomes 1..255.
_ZERO, _LEVELS = 128, 127


def apply_int8(model: InternVL) -> InternVL:
    """Quantize the language model's products of `model` in place and give it back.

    A tied head becomes a product of its own; the embedding table stays. Raises SettingsError where the model is not
    on a CPU, or the processor or this torch lacks the kernels.
    """
    _require_kernels(model.language_model.embed_tokens.weight)
    top = weight_levels()
    _quantize_linears(model.language_model, top)
    if model.language_model.lm_head is None:
        model.language_model.lm_head = Int8Linear(model.language_model.embed_tokens.weight, None, top)
    return model


class Int8Linear(nn.Module):
    """A linear map whose weight is int8: per output channel, symmetric, at most `top` in size."""

    def __init__(self, weight: Tensor, bias: Tensor | None, top: int, parts: Parts = ()) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        weight = weight.detach().float()
        self.packed = _pack(weight, weight.abs().amax(dim=1).clamp(min=1e-30) / top)
        self.bias = bias
        self.parts = parts

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., N), in x's own dtype."""
        rows = x.reshape(-1, self.in_features).float()
        # The largest number of each token becomes 127; a token of zeros stays so, NaN and infinity go through.
        scale = torch.linalg.vector_norm(rows, ord=torch.inf, dim=1, keepdim=True).clamp_(min=1e-30) / _LEVELS  # (T, 1)
        out = _integer_product(rows / scale, self.packed).mul_(scale)  # (T, N)
        if self.bias is not None:
            out += self.bias
        return out.view(*x.shape[:-1], self.out_features).to(x.dtype)


def weight_levels() -> int:
    """The largest integer for weights whose sums are exact on this processor: 127, or 63.

    Processors without VNNI add two products of bytes in 16 bits, and 2 * 255 * 127 does not fit: the sum is cut short
    without a word. Weights of 7 bits fit always. Which it is, is tried rather than read from flags.
    """
    largest = _pack(torch.full((32, 64), 127.0), torch.ones(32))
    exact = 64 * 127 * 127
    return 127 if bool((_integer_product(torch.full((1, 64), 127.0), largest) == exact).all()) else 63


def _integer_product(x: Tensor, packed: torch.ScriptObject) -> Tensor:
    """x (T, D), rounded to integers of -127..127, by a packed weight -> float32 (T, N) in the weight's scale."""
    out: Tensor = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32(x, 1.0, _ZERO, packed)
    return out


def _pack(weight: Tensor, scale: Tensor) -> torch.ScriptObject:
    """weight (N, D) in steps of scale (N,), laid out for the kernels."""
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = ENGINE
    try:
        with warnings.catch_warnings():
            # torch means to retire its quantized tensors, but the kernels still take their weight as one.
            warnings.simplefilter("ignore")
            zeros = torch.zeros(len(scale), dtype=torch.int64)
            integers = torch.quantize_per_channel(weight, scale.double(), zeros, 0, torch.qint8)
            packed: torch.ScriptObject = torch.ops.quantized.linear_prepack(integers, None)
    finally:
        torch.backends.quantized.engine = before
    return packed


def _require_kernels(like: Tensor) -> None:
    if not like.is_cpu:
        raise SettingsError(f"quantization='int8' runs on a CPU only, but the model is on {like.device}: leave it None")
    names = ("linear_prepack", "linear_with_input_q_dq_qweight_dq_output_fp32")
    has_ops = hasattr(torch, "quantize_per_channel") and all(hasattr(torch.ops.quantized, name) for name in names)
    if not has_ops or ENGINE not in torch.backends.quantized.supported_engines:
        raise SettingsError(
            f"quantization='int8' needs an x86 processor and torch's {ENGINE} kernels, which torch {torch.__version__} "
            "does not have here: leave it None"
        )


def _quantize_linears(module: nn.Module, top: int) -> None:
    """Replace every linear below `module`; each float weight is let go as soon as it is packed."""
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Linear | JoinedLinear):
            parts = child.parts if isinstance(child, JoinedLinear) else ((name, child.out_features),)
            setattr(module, name, Int8Linear(child.weight, child.bias, top, parts))
        else:
            _quantize_linears(child, top)
