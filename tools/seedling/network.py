"""The seedling's shape, the attention of branching conversations, and the heads that teach the tower to see.

In: batches of tiles and token ids. Out: losses. The heads are used in training alone and are not saved.

Shapes: B scenes, N tiles of a scene, P patches of a tile, C vision width, D text width, T tokens of a row, K things.
"""

import math

import torch
import torch.nn.functional as F
from tools.seedling.stream import MAX_TILES, SLOTS
from torch import Tensor, nn

from ivl.model.config import InternVLConfig, RopeConfig, TextConfig, VisionConfig
from ivl.model.internvl import InternVL


def seedling_config(vocab_size: int, image_token_id: int, tiny: bool = False) -> InternVLConfig:
    """12 million parameters; tiles of 448 pixels in patches of 28 make 64 image tokens."""
    vision = VisionConfig(
        hidden_size=64 if tiny else 256,
        num_layers=2 if tiny else 9,
        num_heads=4,
        intermediate_size=128 if tiny else 1024,
        image_size=448,
        patch_size=28,
    )
    text = TextConfig(
        decoder="internlm2",
        hidden_size=64 if tiny else 256,
        num_layers=2 if tiny else 5,
        num_heads=4,
        num_kv_heads=2,
        head_dim=16 if tiny else 64,
        intermediate_size=128 if tiny else 512,
        vocab_size=vocab_size,
        max_positions=2048,
        norm_eps=1e-5,
        rope=RopeConfig(theta=10000.0),
    )
    return InternVLConfig(vision=vision, text=text, max_tiles=MAX_TILES, image_token_id=image_token_id)


def initialise(model: InternVL) -> None:
    """Random weights: small normal, residual outputs smaller by depth, LayerScale 0.3."""
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.trunc_normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
    vision = model.vision_model
    nn.init.trunc_normal_(vision.position_embedding, std=0.02)
    nn.init.trunc_normal_(vision.class_embedding, std=0.02)
    for layer in vision.layers:
        nn.init.constant_(layer.scale1, 0.3)
        nn.init.constant_(layer.scale2, 0.3)
    depth = math.sqrt(2 * len(model.language_model.layers))
    for layer in model.language_model.layers:
        for linear in (layer.attention.o_proj, layer.mlp.down_proj):
            nn.init.trunc_normal_(linear.weight, std=0.02 / depth)


class BranchAttention:
    """Rows of one length: a causal prefix, and branches that see the prefix and themselves."""

    def __init__(self, rows: int, bias: Tensor) -> None:
        self.rows = rows
        self.bias = bias
        """(T, T), 0 where a token may look and -inf elsewhere."""

    def __call__(self, layer_idx: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q (B*T, H, Dh), k and v (B*T, K, Dh) -> (B*T, H, Dh)."""
        group = q.shape[1] // k.shape[1]
        q, k, v = (x.unflatten(0, (self.rows, -1)).transpose(1, 2) for x in (q, k, v))
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        dtype = self.bias.dtype
        out = F.scaled_dot_product_attention(q.to(dtype), k.to(dtype), v.to(dtype), attn_mask=self.bias)
        return out.transpose(1, 2).flatten(0, 1)


def branch_positions(prefix: int, slots: tuple[int, ...] = SLOTS) -> Tensor:
    """(T,) positions: each branch goes on where the prefix ends."""
    return torch.cat([torch.arange(prefix), *(torch.arange(prefix, prefix + length) for length in slots)])


def branch_bias(prefix: int, slots: tuple[int, ...] = SLOTS) -> Tensor:
    """(T, T) attention bias of a prefix and branches."""
    owner = torch.cat([torch.zeros(prefix), *(torch.full((length,), i + 1) for i, length in enumerate(slots))])
    order = torch.arange(len(owner))
    sees = (order[:, None] >= order[None]) & ((owner[None] == 0) | (owner[None] == owner[:, None]))
    return torch.zeros(sees.shape).masked_fill(~sees, float("-inf"))


class Heads(nn.Module):
    """What each patch shows: which thing, whether its centre is here, and how far away it is."""

    def __init__(self, width: int, num_things: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.thing = nn.Linear(width, num_things)
        self.centre = nn.Linear(width, 3)

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """(..., C) -> normed features (..., C); centre logit and offset (..., 3)."""
        x = self.norm(patches)
        return x, self.centre(x)


def vision_loss(
    heads: Heads, patches: Tensor, cover: Tensor, centres: Tensor, things: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """How well patches (B*N, P, C) show the things.

    cover: (B, N, K, P) share of each patch that each thing covers. centres: (B, N, K, 2) in patches, in each tile's
    own frame. things: (B, K), -1 where there is none.
    """
    batch, tiles, _, num_patches = cover.shape
    side = math.isqrt(num_patches)
    features, place = heads(patches)
    owner_cover, owner = cover.flatten(0, 1).max(1)  # (B*N, P)
    target = things.repeat_interleave(tiles, 0).gather(1, owner)  # (B*N, P)
    shown = owner_cover > 0.3
    token_loss = F.cross_entropy(heads.thing(features[shown]).float(), target[shown], label_smoothing=0.05)
    # A thing as a whole: the mean of its patches, over all tiles of the scene.
    weight = cover.permute(0, 2, 1, 3).flatten(2)  # (B, K, N*P)
    pooled = torch.einsum(
        "bkp,bpc->bkc", weight.to(features.dtype), features.unflatten(0, (batch, tiles)).flatten(1, 2)
    )
    present = things >= 0
    pooled = pooled[present] / weight.sum(-1)[present].clamp_min(1e-3)[:, None].to(features.dtype)
    logits = heads.thing(pooled).float()
    item_loss = F.cross_entropy(logits, things[present], label_smoothing=0.05)
    # Where the centres are.
    grid = torch.arange(side, device=cover.device) + 0.5
    xy = torch.stack(torch.meshgrid(grid, grid, indexing="xy"), -1).flatten(0, 1)  # (P, 2)
    offsets = centres.flatten(0, 1).gather(1, owner[..., None].expand(-1, -1, 2)) - xy  # (B*N, P, 2)
    here = (offsets.abs().amax(-1) <= 0.5) & shown
    centre_loss = F.binary_cross_entropy_with_logits(
        place[..., 0].float(), here.float(), pos_weight=place.new_tensor(8.0, dtype=torch.float32)
    )
    offset_loss = F.smooth_l1_loss(place[..., 1:].float()[shown], offsets[shown] / side * 4)
    loss = token_loss + item_loss + 0.5 * centre_loss + 0.5 * offset_loss
    right = (logits.argmax(-1) == things[present]).float().mean()
    return loss, {
        "token": token_loss.detach(),
        "item": item_loss.detach(),
        "accuracy": right,
        "centre": centre_loss.detach(),
    }


def centres_in_tiles(boxes: Tensor, size: tuple[int, int], grid: tuple[int, int], side: int) -> Tensor:
    """Centres (B, K, 3 as boxes) in canvas pixels -> (B, N, K, 2) in patches of each tile."""
    columns, rows = grid
    scale = boxes.new_tensor([columns * side / size[0], rows * side / size[1]])
    whole = boxes[..., :2] * scale  # (B, K, 2)
    starts = boxes.new_tensor([[column * side, row * side] for row in range(rows) for column in range(columns)])
    tiles = whole[:, None] - starts[None, :, None]  # (B, N, K, 2)
    if columns * rows == 1:
        return tiles
    thumb = boxes[..., :2] * boxes.new_tensor([side / size[0], side / size[1]])
    return torch.cat((tiles, thumb[:, None]), 1)
