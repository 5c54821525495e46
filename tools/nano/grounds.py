"""Paints the grounds that things stand on, a batch at a time.

In: scenes of one canvas size. Out: canvases (B, 3, h, w) in 0..1 on any device. Knows no things.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from tools.nano.scene import GRADIENT, MOTLEY, NOISE, STRIPES, Scene
from torch import Tensor


def paint_grounds(scenes: Sequence[Scene], device: torch.device, dtype: torch.dtype) -> Tensor:
    """(B, 3, h, w): plain, gradient, smooth noise, or stripes between two colours."""
    width, height = scenes[0].size
    number = len(scenes)
    kind = torch.tensor([scene.ground for scene in scenes], device=device)
    colours = torch.tensor([scene.colours for scene in scenes], device=device)
    mix = torch.zeros(number, 1, height, width, device=device, dtype=dtype)
    x = torch.linspace(-1, 1, width, device=device, dtype=dtype)
    y = torch.linspace(-1, 1, height, device=device, dtype=dtype)[:, None]

    def random(rows: Tensor) -> Tensor:
        return torch.rand(len(rows), 1, 1, 1, device=device, dtype=dtype)

    def along(rows: Tensor) -> Tensor:
        turn = random(rows) * 6.283
        return x * turn.cos() + y * turn.sin()

    rows = (kind == GRADIENT).nonzero()[:, 0]
    mix[rows] = along(rows) * 0.5 + 0.5
    rows = ((kind == NOISE) | (kind == MOTLEY)).nonzero()[:, 0]
    coarse = torch.rand(len(rows), 1, 7, 7, device=device, dtype=dtype)
    if len(rows):
        mix[rows] = F.interpolate(coarse, size=(height, width), mode="bicubic", align_corners=False)
    rows = (kind == STRIPES).nonzero()[:, 0]
    mix[rows] = (torch.sin(along(rows) * (6 + 24 * random(rows))) * 4).clamp(-1, 1) * 0.5 + 0.5
    first, second = (colours[:, i, :, None, None].to(dtype) for i in (0, 1))
    return torch.addcmul(first, second - first, mix.clamp_(0, 1))
