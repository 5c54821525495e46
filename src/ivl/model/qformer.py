"""The Q-Former of BLIP-2: learned queries ask the patches of a tile (Li et al. 2023, arXiv 2301.12597).

In: patch features. Out: as many tokens as there are queries, in the text model's width. It is BERT's encoder, norms
behind the residual sums, with a cross-attention to the patches in every other layer. In its first stage of training
text stands behind the queries and shares their self-attention (`mask` says who sees whom), but has feed-forward nets of
its own: `layer(x, patches, mask, text_block)`. The connector itself knows no text.

Shapes: N tiles, P patches of a tile, C vision width, Q queries, L text tokens, W the Q-Former's width, M heads,
Wh = W / M, D text width.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ivl.model.config import QFormerConfig

INIT_STD = 0.02
"""Of new weights and queries, as BERT's and BLIP-2's."""
TextBlock = Callable[[Tensor], Tensor]
"""Text rows (N, L, W) behind the shared self-attention -> the same, through the text's own feed-forward net."""


class QFormerConnector(nn.Module):
    """Queries, layers, and the linear map into the text model's width."""

    def __init__(self, config: QFormerConfig, in_width: int, out_width: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.empty(config.num_queries, config.hidden_size))
        self.vision_norm = nn.LayerNorm(in_width, eps=1e-5)
        self.query_norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps)
        self.layers = nn.ModuleList(
            QFormerLayer(config, in_width if config.has_cross(idx) else None) for idx in range(config.num_layers)
        )
        self.proj = nn.Linear(config.hidden_size, out_width)
        nn.init.normal_(self.queries, std=INIT_STD)
        for module in self.layers.modules():
            if isinstance(module, nn.Linear):
                init_linear(module)

    def forward(self, patches: Tensor) -> Tensor:
        """(N, P, C) -> (N, Q, D)."""
        out: Tensor = self.proj(self.answers(patches))
        return out

    def answers(self, patches: Tensor) -> Tensor:
        """(N, P, C) -> (N, Q, W): what the queries found, before the last linear map."""
        seen = self.vision_norm(patches)
        x = self.first(len(patches))
        for layer in self.layers:
            x = layer(x, seen)
        return x

    def first(self, num_tiles: int) -> Tensor:
        """The queries as the first layer gets them, (N, Q, W)."""
        x: Tensor = self.query_norm(self.queries).expand(num_tiles, -1, -1)
        return x


class QFormerLayer(nn.Module):
    """Self-attention, in some layers cross-attention of the queries, feed-forward; norms behind each sum."""

    def __init__(self, config: QFormerConfig, seen_width: int | None) -> None:
        super().__init__()
        width = config.hidden_size
        self.num_queries = config.num_queries
        self.attention = QFormerAttention(width, width, config.num_heads)
        self.norm1 = nn.LayerNorm(width, eps=config.norm_eps)
        self.has_cross = seen_width is not None
        if seen_width is not None:
            self.cross_attention = QFormerAttention(width, seen_width, config.num_heads)
            self.norm2 = nn.LayerNorm(width, eps=config.norm_eps)
        self.mlp = QFormerMLP(width, config.intermediate_size)
        self.norm3 = nn.LayerNorm(width, eps=config.norm_eps)

    def forward(
        self, x: Tensor, seen: Tensor, mask: Tensor | None = None, text_block: TextBlock | None = None
    ) -> Tensor:
        """(N, Q, W), or (N, Q + L, W) with text behind the queries -> the same; seen (N, P, C).

        mask: (N or 1, 1, Q + L, Q + L), true where a row sees a column; None: all see all.
        """
        x = self.norm1(x + self.attention(x, x, mask))
        queries: Tensor = x[:, : self.num_queries]  # (N, Q, W)
        text: Tensor = x[:, self.num_queries :]  # (N, L, W)
        if self.has_cross:
            queries = self.norm2(queries + self.cross_attention(queries, seen))
        queries = self.norm3(queries + self.mlp(queries))
        if not text.shape[1]:
            return queries
        assert text_block is not None, "text needs a feed-forward net of its own"
        return torch.cat((queries, text_block(text)), dim=1)


class QFormerAttention(nn.Module):
    """Rows of width W look at rows of another width."""

    def __init__(self, width: int, seen_width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(seen_width, width)
        self.v_proj = nn.Linear(seen_width, width)
        self.o_proj = nn.Linear(width, width)

    def forward(self, x: Tensor, seen: Tensor, mask: Tensor | None = None) -> Tensor:
        q, k, v = self.q_proj(x), self.k_proj(seen), self.v_proj(seen)
        q, k, v = (t.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for t in (q, k, v))  # (N, M, rows, Wh)
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        out: Tensor = self.o_proj(x.transpose(1, 2).flatten(2))
        return out


class QFormerMLP(nn.Module):
    """Two linear maps with the exact GELU between them."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, inner)
        self.fc2 = nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


def init_linear(module: nn.Linear) -> None:
    """As BERT begins: small normal weights, no bias."""
    nn.init.normal_(module.weight, std=INIT_STD)
    nn.init.zeros_(module.bias)
