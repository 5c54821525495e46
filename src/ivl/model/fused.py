"""Fewer, larger products for a model that only runs: `apply_fused(model)`, from outside, after loading.

In: an `InternVL` with separate q, k, v, gate and up linears, as checkpoints, training and adapters know it.
Out: the same model, in place, giving the same answers up to rounding. It can no longer be trained, given
adapters or saved. Knows no files and no engine.

- Decoder: q, k and v become one product, gate and up another; q and k are rotated together.
- Vision model and connector, float32 on a CPU: weights laid out ahead for oneDNN.

Shapes: T packed tokens, D width, H query heads, K key-value heads, Dh head width, F inner width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ivl.model.attention import Attention
from ivl.model.decoder import GatedMLP, SelfAttention, product
from ivl.model.internvl import InternVL
from ivl.model.rope import rotate


def apply_fused(model: InternVL) -> InternVL:
    """Fuse `model` in place and give it back; a model that is fused already stays as it is."""
    for layer in model.language_model.layers:
        if isinstance(layer.attention, SelfAttention):
            layer.attention = FusedAttention(layer.attention)
        if isinstance(layer.mlp, GatedMLP):
            layer.mlp = FusedMLP(layer.mlp)
    like = model.vision_model.class_embedding
    if like.is_cpu and like.dtype == torch.float32 and can_pack():
        rows = 1 + model.config.vision.patches_per_side**2
        _pack_linears(model.vision_model, rows)
        _pack_linears(model.connector, rows)
    return model


class FusedAttention(nn.Module):
    """`SelfAttention` with one product for queries, keys and values."""

    def __init__(self, source: SelfAttention) -> None:
        super().__init__()
        parts = (source.q_proj, source.k_proj, source.v_proj)
        self.head_dim = source.head_dim
        self.heads = [part.out_features // source.head_dim for part in parts]  # H, K, K
        self.weight = _joined([part.weight for part in parts])  # ((H + 2K) * Dh, D)
        self.bias = None if source.q_proj.bias is None else _joined([part.bias for part in parts])
        self.o_proj, self.q_norm, self.k_norm = source.o_proj, source.q_norm, source.k_norm

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, attention: Attention, layer_idx: int) -> Tensor:
        x = product(x, self.weight, self.bias).view(len(x), -1, self.head_dim)  # (T, H + 2K, Dh)
        q, k, v = torch.split(x, self.heads, dim=1)
        if isinstance(self.q_norm, nn.RMSNorm):
            x = torch.cat((self.q_norm(q), self.k_norm(k)), dim=1)
        q, k = torch.split(rotate(x[:, : sum(self.heads[:2])], cos, sin), self.heads[:2], dim=1)
        out: Tensor = self.o_proj(attention(layer_idx, q, k, v).flatten(1))  # (T, D)
        return out


class FusedMLP(nn.Module):
    """`GatedMLP` with one product for gate and up."""

    def __init__(self, source: GatedMLP) -> None:
        super().__init__()
        self.weight = _joined([source.gate_proj.weight, source.up_proj.weight])  # (2F, D)
        self.down_proj = source.down_proj

    def forward(self, x: Tensor) -> Tensor:
        gate, up = product(x, self.weight).chunk(2, dim=-1)  # (T, F) each
        out: Tensor = self.down_proj(F.silu(gate) * up)
        return out


class PackedLinear(nn.Module):
    """A linear map whose weight oneDNN has laid out for products of about `rows` rows.

    oneDNN's float32 product then beats that of torch's own linear by 5 to 10%, and adds the bias on its way.
    """

    def __init__(self, source: nn.Linear, rows: int) -> None:
        super().__init__()
        self.packed = torch.ops.mkldnn._reorder_linear_weight(source.weight.detach().contiguous(), rows)
        self.bias = source.bias

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, "none", [], "")
        return out


def can_pack() -> bool:
    """Whether this torch has oneDNN and the two operators that its own compiler packs linears with."""
    names = ("_reorder_linear_weight", "_linear_pointwise")
    has_library: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return has_library and all(hasattr(torch.ops.mkldnn, name) for name in names)


def _pack_linears(module: nn.Module, rows: int) -> None:
    """Replace every linear below `module`."""
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Linear):
            setattr(module, name, PackedLinear(child, rows))
        else:
            _pack_linears(child, rows)


def _joined(weights: list[Tensor]) -> nn.Parameter:
    """One weight (N, D) of several, or one bias (N,) of several."""
    joined = torch.cat([weight.detach() for weight in weights])
    if joined.is_cpu and joined.dim() == 2 and len(joined) >= joined.shape[1]:
        # Stored column by column: a single row times a wide weight is then up to 1.5 times as fast on a CPU.
        joined = joined.t().contiguous().t()
    return nn.Parameter(joined, requires_grad=False)
