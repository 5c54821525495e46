"""Fewer, larger products for a model that only runs: `apply_fused(model)`, from outside, after loading.

In: an `InternVL` with separate q, k, v, gate and up linears, as checkpoints, training and adapters know it.
Out: the same model, in place, giving the same answers up to rounding. It can no longer be trained or saved.
Every large product is a module that is called x (..., in_features) -> (..., out_features), so that adapters can wrap
it and `quantized.py` can replace it; `parts` names what it joins. Knows no files and no engine.

- Decoder: `attention.qkv_proj` is q, k and v as one product, `mlp.gate_up_proj` gate and up; q and k are rotated
  together. `attention.o_proj`, `mlp.down_proj` and `lm_head` keep their names.
- Vision model: `attention.qkv_proj` likewise; all others, and the connector's, keep their names.
- On a CPU: weights laid out for a single row, for oneDNN, or both; RMSNorm in fewer steps.

Shapes: T packed tokens, D width, H query heads, K key-value heads, Dh head width, F inner width; N tiles, P patches of
a tile, M vision heads.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ivl.model.attention import Attention
from ivl.model.decoder import GatedMLP, SelfAttention, product
from ivl.model.internvl import InternVL
from ivl.model.rope import rotate
from ivl.model.vit import VisionAttention

# Rows of a product with which oneDNN's layout is chosen: a tile's tokens. Others, a batch of a few, gain as well.
ROWS = 256
# Numbers in a weight from which oneDNN's products beat those of torch's own linear.
WORTH_PACKING = 2**17


def apply_fused(model: InternVL, spare_bytes: int = 2**31) -> InternVL:
    """Fuse `model` in place and give it back; a model that is fused already stays as it is.

    spare_bytes: memory, beside the weights', that speed may cost. In float32 on a CPU the decoder's weights are then
    kept twice if they fit into it: in one layout for a single row, in another for several (10 to 15% faster with
    hundreds of rows, 1.1 to 2 times as fast with 4 to 16).
    """
    decoder = model.language_model
    packs = can_pack(decoder.embed_tokens.weight)
    both = packs and 4 * sum(parameter.numel() for parameter in decoder.layers.parameters()) <= spare_bytes
    for layer in decoder.layers:
        if isinstance(layer.attention, SelfAttention) and isinstance(layer.mlp, GatedMLP):
            layer.attention, layer.mlp = FusedAttention(layer.attention, both), FusedMLP(layer.mlp, both)
    if both and isinstance(decoder.lm_head, nn.Linear):
        decoder.lm_head = JoinedLinear(True, lm_head=decoder.lm_head)
    for block in model.vision_model.layers:
        if isinstance(block.attention, VisionAttention):
            block.attention = FusedVisionAttention(block.attention, packs)
    if packs:
        _pack_linears(model.vision_model)
        _pack_linears(model.connector)
        _quicken_norms(model)
    return model


class JoinedLinear(nn.Module):
    """Several linear maps of the same input as one product, their outputs side by side; or a single one.

    On a CPU its weight is stored column by column: a single row times a wide weight is then up to 1.5 times as fast.
    With `both`, a large one is kept in oneDNN's layout beside it, for several rows.
    """

    packed: Tensor | None

    def __init__(self, both: bool = False, /, **sources: nn.Linear) -> None:
        super().__init__()
        self.parts = tuple((name, source.out_features) for name, source in sources.items())
        weight, self.bias = _joined(list(sources.values()))
        self.out_features, self.in_features = weight.shape
        self.packed = _reorder(weight) if both and weight.numel() >= WORTH_PACKING else None
        if weight.is_cpu and self.out_features >= self.in_features:
            weight = weight.t().contiguous().t()
        self.weight = nn.Parameter(weight, requires_grad=False)  # (out_features, in_features)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features)."""
        if self.packed is None or x.numel() == self.in_features:
            return product(x, self.weight, self.bias)
        return _packed_product(x, self.packed, self.bias)


class PackedLinear(nn.Module):
    """Linear maps of the same input as one product, whose weight is kept in oneDNN's layout alone.

    From `WORTH_PACKING` numbers on, oneDNN's float32 product beats that of torch's own linear by 5 to 15%.
    """

    def __init__(self, **sources: nn.Linear) -> None:
        super().__init__()
        self.parts = tuple((name, source.out_features) for name, source in sources.items())
        weight, self.bias = _joined(list(sources.values()))
        self.out_features, self.in_features = weight.shape
        self.packed = _reorder(weight)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features)."""
        return _packed_product(x, self.packed, self.bias)


class FusedAttention(nn.Module):
    """`SelfAttention` with one product for queries, keys and values."""

    def __init__(self, source: SelfAttention, both: bool = False) -> None:
        super().__init__()
        self.head_dim = source.head_dim
        self.qkv_proj = JoinedLinear(both, q_proj=source.q_proj, k_proj=source.k_proj, v_proj=source.v_proj)
        self.heads = [width // source.head_dim for _, width in self.qkv_proj.parts]  # H, K, K
        self.o_proj = JoinedLinear(both, o_proj=source.o_proj) if both else source.o_proj
        self.q_norm, self.k_norm = source.q_norm, source.k_norm
        self.has_norms = not isinstance(source.q_norm, nn.Identity)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, attention: Attention, layer_idx: int) -> Tensor:
        x = self.qkv_proj(x).view(len(x), -1, self.head_dim)  # (T, H + 2K, Dh)
        q, k, v = torch.split(x, self.heads, dim=1)
        if self.has_norms:
            x = torch.cat((self.q_norm(q), self.k_norm(k)), dim=1)
        q, k = torch.split(rotate(x[:, : sum(self.heads[:2])], cos, sin), self.heads[:2], dim=1)
        out: Tensor = self.o_proj(attention(layer_idx, q, k, v).flatten(1))  # (T, D)
        return out


class FusedMLP(nn.Module):
    """`GatedMLP` with one product for gate and up."""

    def __init__(self, source: GatedMLP, both: bool = False) -> None:
        super().__init__()
        self.gate_up_proj = JoinedLinear(both, gate_proj=source.gate_proj, up_proj=source.up_proj)
        self.down_proj = JoinedLinear(both, down_proj=source.down_proj) if both else source.down_proj

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up_proj(x).chunk(2, dim=-1)  # (T, F) each
        out: Tensor = self.down_proj(F.silu(gate) * up)
        return out


class FusedVisionAttention(nn.Module):
    """`VisionAttention` with one product for queries, keys and values."""

    def __init__(self, source: VisionAttention, packs: bool) -> None:
        super().__init__()
        self.num_heads = source.num_heads
        kind = PackedLinear if packs and 3 * source.q_proj.weight.numel() >= WORTH_PACKING else JoinedLinear
        self.qkv_proj = kind(q_proj=source.q_proj, k_proj=source.k_proj, v_proj=source.v_proj)
        self.o_proj, self.q_norm, self.k_norm = source.o_proj, source.q_norm, source.k_norm

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv_proj(x).chunk(3, dim=-1)  # (N, 1 + P, C) each
        q, k = self.q_norm(q), self.k_norm(k)
        heads = [t.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for t in (q, k, v)]  # (N, M, 1 + P, Ch)
        x = F.scaled_dot_product_attention(*heads)
        out: Tensor = self.o_proj(x.transpose(1, 2).flatten(2))  # (N, 1 + P, C)
        return out


class QuickRMSNorm(nn.Module):
    """`nn.RMSNorm` in half the time on a CPU, where torch runs it as a chain of small steps."""

    def __init__(self, source: nn.RMSNorm) -> None:
        super().__init__()
        assert source.eps is not None, "every norm here states its eps"
        self.weight = source.weight
        self.share = 1 / len(source.weight)
        self.eps = torch.tensor(source.eps, dtype=source.weight.dtype)

    def forward(self, x: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        scale = torch.addcmul(self.eps, length, length, value=self.share).rsqrt_()
        return (x * scale).mul_(self.weight)


def can_pack(like: Tensor) -> bool:
    """Whether a weight is one for oneDNN, and this torch has the operators that its own compiler packs linears with."""
    names = ("_reorder_linear_weight", "_linear_pointwise")
    has_library: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    has_operators = has_library and all(hasattr(torch.ops.mkldnn, name) for name in names)
    return like.is_cpu and like.dtype == torch.float32 and has_operators


def _reorder(weight: Tensor) -> Tensor:
    out: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), ROWS)
    return out


def _packed_product(x: Tensor, packed: Tensor, bias: Tensor | None) -> Tensor:
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")
    return out


def _pack_linears(module: nn.Module) -> None:
    """Replace every linear below `module` that is large enough to gain."""
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Linear) and child.weight.numel() >= WORTH_PACKING:
            setattr(module, name, PackedLinear(**{name: child}))
        else:
            _pack_linears(child)


def _quicken_norms(module: nn.Module) -> None:
    """Replace every RMSNorm below `module`."""
    for name, child in list(module.named_children()):
        if isinstance(child, nn.RMSNorm):
            setattr(module, name, QuickRMSNorm(child))
        else:
            _quicken_norms(child)


def _joined(sources: list[nn.Linear]) -> tuple[Tensor, nn.Parameter | None]:
    """One weight (N, D) and one bias (N,) or None, of several."""
    weight = torch.cat([source.weight.detach() for source in sources])
    if sources[0].bias is None:
        return weight, None
    return weight, nn.Parameter(torch.cat([source.bias.detach() for source in sources]), requires_grad=False)
