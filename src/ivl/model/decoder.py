"""One decoder for InternLM2, Qwen2, Qwen3, Llama, Yi and Phi-3.

In: embeddings of packed tokens, their cos and sin tables, and an attention. Out: hidden states after the final norm.
The families differ only in `TextConfig`: grouped heads, biases, q/k norm, a tied head, the kind of rope.

Shapes: T packed tokens, D width, H query heads, K key-value heads, Dh head width, V vocabulary.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ivl.model.attention import Attention
from ivl.model.config import TextConfig
from ivl.model.rope import RotaryEmbedding, rotate


class LanguageModel(nn.Module):
    """Embedding table, decoder layers, final norm and head."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config = config
        self.rope = RotaryEmbedding(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.num_layers))
        self.norm = nn.RMSNorm(config.hidden_size, eps=config.norm_eps)
        self.lm_head: nn.Module | None = None
        if not config.tie_embeddings:
            self.lm_head = Linear(config.hidden_size, config.vocab_size)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, attention: Attention) -> Tensor:
        """x (T, D), cos and sin (T, Dh) -> hidden states (T, D)."""
        cos, sin = cos[:, None].to(x.dtype), sin[:, None].to(x.dtype)  # (T, 1, Dh)
        for layer_idx, layer in enumerate(self.layers):
            x = layer(x, cos, sin, attention, layer_idx)
        out: Tensor = self.norm(x)
        return out

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., D) -> (..., V)."""
        if self.lm_head is None:
            return product(hidden, self.embed_tokens.weight)
        logits: Tensor = self.lm_head(hidden)
        return logits


class DecoderLayer(nn.Module):
    """Pre-norm attention and gated MLP."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.input_norm = nn.RMSNorm(config.hidden_size, eps=config.norm_eps)
        self.attention = SelfAttention(config)
        self.post_norm = nn.RMSNorm(config.hidden_size, eps=config.norm_eps)
        self.mlp = GatedMLP(config)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, attention: Attention, layer_idx: int) -> Tensor:
        x = x + self.attention(self.input_norm(x), cos, sin, attention, layer_idx)
        out: Tensor = x + self.mlp(self.post_norm(x))
        return out


class SelfAttention(nn.Module):
    """Rotary attention with grouped heads."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        width, head_dim = config.hidden_size, config.head_dim
        self.head_dim = head_dim
        self.q_proj = Linear(width, config.num_heads * head_dim, config.qkv_bias)
        self.k_proj = Linear(width, config.num_kv_heads * head_dim, config.qkv_bias)
        self.v_proj = Linear(width, config.num_kv_heads * head_dim, config.qkv_bias)
        self.o_proj = Linear(config.num_heads * head_dim, width, config.o_bias)
        self.q_norm = nn.RMSNorm(head_dim, eps=config.norm_eps) if config.qk_norm else nn.Identity()
        self.k_norm = nn.RMSNorm(head_dim, eps=config.norm_eps) if config.qk_norm else nn.Identity()

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, attention: Attention, layer_idx: int) -> Tensor:
        q, k, v = (proj(x).unflatten(-1, (-1, self.head_dim)) for proj in (self.q_proj, self.k_proj, self.v_proj))
        q = rotate(self.q_norm(q), cos, sin)  # (T, H, Dh)
        k = rotate(self.k_norm(k), cos, sin)  # (T, K, Dh)
        out: Tensor = self.o_proj(attention(layer_idx, q, k, v).flatten(1))  # (T, D)
        return out


class GatedMLP(nn.Module):
    """SwiGLU (Shazeer 2020)."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.gate_proj = Linear(config.hidden_size, config.intermediate_size)
        self.up_proj = Linear(config.hidden_size, config.intermediate_size)
        self.down_proj = Linear(config.intermediate_size, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


class Linear(nn.Linear):
    """A linear map, without a bias unless asked for, that works on a single row with every core."""

    def __init__(self, in_width: int, out_width: int, bias: bool = False) -> None:
        super().__init__(in_width, out_width, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return product(x, self.weight, self.bias)


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x (..., D), weight (N, D) -> x @ weight.T + bias (..., N).

    A CPU's BLAS leaves a product with a single row to one core but shares out a batch of products: so the row
    meets a large weight in as many parts as there are threads, 1.6 times as fast on two cores.
    """
    parts = _num_parts(x, weight)
    if parts == 1:
        return F.linear(x, weight, bias)
    row = x.view(1, 1, -1).expand(parts, 1, -1)
    out = torch.bmm(row, weight.view(parts, -1, x.shape[-1]).transpose(1, 2)).view(*x.shape[:-1], -1)
    return out if bias is None else out + bias


# Numbers in a weight, a few tenths of a millisecond of work: less is not worth waiting for another core. On two quiet
# cores a token of a model of 287 million parameters takes 74 ms with it, 84 ms with 2**22, and no less with 2**19.
_WORTH_SHARING = 2**20


def _num_parts(x: Tensor, weight: Tensor) -> int:
    """Into how many parts to cut `weight`; 16-bit types have kernels that use all cores by themselves."""
    is_row = x.is_cpu and x.numel() == x.shape[-1] and x.dtype.itemsize >= 4
    threads = torch.get_num_threads() if is_row and weight.numel() >= _WORTH_SHARING else 1
    return threads if len(weight) % threads == 0 else 1
