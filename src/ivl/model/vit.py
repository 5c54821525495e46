"""InternViT, 300M and 6B: tiles in, patch features out (Chen et al. 2023, arXiv 2312.14238).

Knows no text and no connector. There is no norm after the last layer.

Shapes: N tiles, S pixels a side, p pixels a patch side, P patches of a tile, C width, M heads, Ch head width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ivl.model.config import VisionConfig


class VisionModel(nn.Module):
    """InternViT up to a chosen layer."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.config = config
        width, patch = config.hidden_size, config.patch_size
        self.class_embedding = nn.Parameter(torch.empty(width))
        self.position_embedding = nn.Parameter(torch.empty(1 + config.patches_per_side**2, width))
        # A convolution whose stride is its kernel is one linear map per patch.
        self.patch_embedding = nn.Linear(3 * patch * patch, width)
        self.layers = nn.ModuleList(VisionLayer(config) for _ in range(config.num_layers))

    def forward(self, pixel_values: Tensor, select_layer: int = -1) -> Tensor:
        """(N, 3, S, S) -> (N, 1 + P, C), class token first.

        `select_layer` indexes [embeddings, after layer 1, ...] as the official config does; -1 is the last.
        """
        depth = range(len(self.layers) + 1)[select_layer]
        x = self.embed(pixel_values)
        for layer in self.layers[:depth]:
            x = layer(x)
        return x

    def embed(self, pixel_values: Tensor) -> Tensor:
        """(N, 3, S, S) -> (N, 1 + P, C): patches, class token and positions."""
        patch = self.config.patch_size
        num_tiles, _, height, width = pixel_values.shape
        rows, columns = height // patch, width // patch
        x = pixel_values.reshape(num_tiles, 3, rows, patch, columns, patch)
        x = x.permute(0, 2, 4, 1, 3, 5).reshape(num_tiles, rows * columns, 3 * patch * patch)
        x = self.patch_embedding(x)  # (N, P, C)
        class_token = self.class_embedding.expand(num_tiles, 1, -1)
        return torch.cat((class_token, x), dim=1) + self.positions(rows, columns)

    def positions(self, rows: int, columns: int) -> Tensor:
        """(1 + rows * columns, C); bicubic in float32 where the tile is of another size, as the official code."""
        side = self.config.patches_per_side
        if rows == columns == side:
            return self.position_embedding
        grid = self.position_embedding[1:].float().reshape(1, side, side, -1).permute(0, 3, 1, 2)
        grid = F.interpolate(grid, size=(rows, columns), mode="bicubic", align_corners=False)
        grid = grid.flatten(2)[0].T.to(self.position_embedding.dtype)
        return torch.cat((self.position_embedding[:1], grid))


class VisionLayer(nn.Module):
    """Pre-norm block whose two branches are scaled per channel (LayerScale)."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.norm1 = _norm(config)
        self.attention = VisionAttention(config)
        self.scale1 = nn.Parameter(torch.empty(config.hidden_size))
        self.norm2 = _norm(config)
        self.mlp = VisionMLP(config)
        self.scale2 = nn.Parameter(torch.empty(config.hidden_size))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.addcmul(x, self.attention(self.norm1(x)), self.scale1)
        return torch.addcmul(x, self.mlp(self.norm2(x)), self.scale2)


class VisionAttention(nn.Module):
    """Full attention between the patches of one tile."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.num_heads = config.num_heads
        self.q_proj = nn.Linear(width, width, bias=config.qkv_bias)
        self.k_proj = nn.Linear(width, width, bias=config.qkv_bias)
        self.v_proj = nn.Linear(width, width, bias=config.qkv_bias)
        self.o_proj = nn.Linear(width, width)
        # Over the whole width, before the heads are split: the 6B differs here from most q/k norms.
        self.q_norm = nn.RMSNorm(width, eps=config.norm_eps) if config.qk_norm else nn.Identity()
        self.k_norm = nn.RMSNorm(width, eps=config.norm_eps) if config.qk_norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.q_norm(self.q_proj(x)), self.k_norm(self.k_proj(x)), self.v_proj(x)
        heads = [t.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for t in (q, k, v)]  # (N, M, 1 + P, Ch)
        x = F.scaled_dot_product_attention(*heads)
        out: Tensor = self.o_proj(x.transpose(1, 2).flatten(2))  # (N, 1 + P, C)
        return out


class VisionMLP(nn.Module):
    """Two linear maps with the exact (erf) GELU between them."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc1(x)
        # In place where nothing is trained: a second buffer this wide costs more time than the GELU itself.
        x = F.gelu(x) if x.requires_grad else torch.ops.aten.gelu_(x)
        out: Tensor = self.fc2(x)
        return out


def _norm(config: VisionConfig) -> nn.Module:
    kind = nn.LayerNorm if config.norm_type == "layer_norm" else nn.RMSNorm
    return kind(config.hidden_size, eps=config.norm_eps)
