"""Strong changes of a sprite's look, so that the model learns the thing and not one artist's way of drawing it.

In and out: sprites (M, 4, S, S) float in 0..1 with premultiplied alpha, on any device; for `spoil` canvases. Which gets
which change is random. Nothing here was fitted to a held-out style.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)


def augment(sprites: Tensor, keep_colours: Tensor) -> Tensor:
    """Changed sprites; where `keep_colours` (M,) is true, hues stay (a question asks for them)."""
    number = len(sprites)
    device = sprites.device
    free = ~keep_colours

    def some(share: float) -> Tensor:
        return torch.rand(number, device=device) < share

    weak = some(0.3)
    rgb, alpha = straight(sprites)
    change(some(0.15) & ~weak, soften, rgb, alpha)
    jitter(rgb, free & ~weak)
    change(some(0.05) & free, grey, rgb)
    change(some(0.12) & ~weak & free, posterise, rgb)
    change(some(0.1) & ~weak & free, shade, rgb)
    change(some(0.14) & ~weak, ink_edges, rgb, alpha)
    change(some(0.06) & free, line_drawing, rgb, alpha)
    change(some(0.06) & ~weak, thin, alpha)
    out = torch.cat((rgb * alpha, alpha), 1)
    change(some(0.22) & ~weak, rim, out)
    change(some(0.1) & ~weak, blur, out)
    change(some(0.08) & ~weak & free, punch, out)
    return out


def change(choose: Tensor, how: Callable[..., Tensor], target: Tensor, *others: Tensor) -> None:
    """Replace the chosen rows of `target` by `how(rows of target, rows of others)`, in place; no others are touched."""
    rows = choose.nonzero()[:, 0]
    if len(rows):
        target[rows] = how(target[rows], *(other[rows] for other in others))


def straight(sprites: Tensor) -> tuple[Tensor, Tensor]:
    """Premultiplied RGBA -> RGB and alpha."""
    alpha = sprites[:, 3:]
    return sprites[:, :3] / alpha.clamp_min(1e-3), alpha


def luma_weights(rgb: Tensor) -> Tensor:
    return rgb.new_tensor(LUMA)[None, :, None, None]


def uniform(sprites: Tensor, low: float, high: float) -> Tensor:
    """One number per sprite, (M, 1, 1, 1)."""
    return torch.empty(len(sprites), 1, 1, 1, device=sprites.device, dtype=sprites.dtype).uniform_(low, high)


def jitter(rgb: Tensor, free: Tensor) -> None:
    """Hue, saturation, contrast, brightness, in place; only mild contrast where not free."""
    angle = torch.empty(len(rgb), device=rgb.device).normal_(0, 0.22)
    angle = torch.where(torch.rand_like(angle) < 0.06, angle * 8, angle)
    turn = hue_rotation(angle)
    saturation, contrast = uniform(rgb, 0.4, 1.7), uniform(rgb, 0.6, 1.4)
    shift, gamma = uniform(rgb, -0.14, 0.14), uniform(rgb, -0.4, 0.4).exp()
    change(free, recolour, rgb, turn.to(rgb.dtype), saturation, contrast, shift, gamma)
    change(~free, lambda x, by: ((x - 0.5) * by + 0.5).clamp(0, 1), rgb, uniform(rgb, 0.92, 1.08))


def recolour(rgb: Tensor, turn: Tensor, saturation: Tensor, contrast: Tensor, shift: Tensor, gamma: Tensor) -> Tensor:
    turned = (turn @ rgb.flatten(2)).view_as(rgb)
    light = (turned * luma_weights(rgb)).sum(1, keepdim=True)
    out = torch.lerp(light.expand_as(turned), turned, saturation)
    out = ((out - 0.5).mul_(contrast).add_(0.5 + shift)).clamp_(1e-4, 1)
    return out.pow_(gamma)


def grey(rgb: Tensor) -> Tensor:
    return (rgb * luma_weights(rgb)).sum(1, keepdim=True).expand_as(rgb)


def ink_edges(rgb: Tensor, alpha: Tensor) -> Tensor:
    return rgb * (1 - inner_edges(rgb, alpha))


def hue_rotation(angle: Tensor) -> Tensor:
    """(M,) angles -> (M, 3, 3) matrices that turn hues and keep luma (YIQ rotation)."""
    to_yiq = torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]], device=angle.device)
    cos, sin = angle.cos(), angle.sin()
    zero, one = torch.zeros_like(cos), torch.ones_like(cos)
    turn = torch.stack((one, zero, zero, zero, cos, -sin, zero, sin, cos), -1).view(-1, 3, 3)
    return torch.linalg.inv(to_yiq) @ turn @ to_yiq


def blur(x: Tensor) -> Tensor:
    """A 5x5 binomial blur."""
    line = x.new_tensor([1, 4, 6, 4, 1]) / 16
    kernel = (line[:, None] * line[None])[None, None].expand(x.shape[1], 1, 5, 5)
    return F.conv2d(x, kernel, padding=2, groups=x.shape[1])


def soften(rgb: Tensor, alpha: Tensor) -> Tensor:
    """Texture smoothed away inside the drawing."""
    small = F.avg_pool2d(torch.cat((rgb * alpha, alpha), 1), 4)
    small = blur(small)
    wide = F.interpolate(small, size=rgb.shape[-2:], mode="bilinear", align_corners=False)
    return wide[:, :3] / wide[:, 3:].clamp_min(1e-3)


def posterise(rgb: Tensor) -> Tensor:
    levels = uniform(rgb, 2.0, 6.0).round()
    return (rgb * levels).round() / levels


def shade(rgb: Tensor) -> Tensor:
    """Light from one side."""
    side = torch.linspace(-1, 1, rgb.shape[-1], device=rgb.device, dtype=rgb.dtype)
    slope = (
        uniform(rgb, -0.35, 0.35) * side[None, None, None, :] + uniform(rgb, -0.35, 0.35) * side[None, None, :, None]
    )
    return (rgb + slope).clamp(0, 1)


def inner_edges(rgb: Tensor, alpha: Tensor) -> Tensor:
    """(M, 1, S, S): 1 where colours meet inside the drawing or at its rim."""
    x = torch.cat((rgb * alpha, alpha), 1)
    high = F.max_pool2d(x, 3, stride=1, padding=1)
    low = -F.max_pool2d(-x, 3, stride=1, padding=1)
    contrast = (high - low).amax(1, keepdim=True)
    return ((contrast - 0.22) * 6).clamp(0, 1)


def line_drawing(rgb: Tensor, alpha: Tensor) -> Tensor:
    """Dark lines on a pale fill."""
    edges = inner_edges(rgb, alpha)
    paleness = uniform(rgb, 0.55, 1.0)
    dark = ((0.35 - (rgb * luma_weights(rgb)).sum(1, keepdim=True)) * 6).clamp(0, 1)
    return (rgb + (1 - rgb) * paleness) * (1 - torch.maximum(edges, dark))


def thin(alpha: Tensor) -> Tensor:
    return -F.max_pool2d(-alpha, 3, stride=1, padding=1)


def rim(sprites: Tensor) -> Tensor:
    """An outline around the drawing: mostly dark, sometimes white or coloured; one of three widths."""
    alpha = sprites[:, 3:]
    widths = [F.max_pool2d(alpha, size, stride=1, padding=size // 2) for size in (5, 7, 11)]
    choice = torch.randint(0, 3, (len(sprites),), device=sprites.device)
    grown = torch.stack(widths)[choice, torch.arange(len(sprites), device=sprites.device)]
    dark = torch.rand(len(sprites), device=sprites.device) < 0.7
    colour = torch.rand(len(sprites), 3, 1, 1, device=sprites.device, dtype=sprites.dtype)
    colour = torch.where(dark[:, None, None, None], colour * 0.18, colour.sqrt())
    under = torch.cat((colour * grown, grown), 1)
    return sprites + under * (1 - alpha)


def punch(sprites: Tensor) -> Tensor:
    """A hole of a quarter of the side somewhere."""
    size = sprites.shape[-1]
    span = torch.arange(size, device=sprites.device)
    start = torch.randint(0, size * 3 // 4, (2, len(sprites), 1), device=sprites.device)
    inside = (span >= start) & (span < start + size // 4)  # (2, M, S)
    hole = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    return sprites * ~hole


def spoil(canvas: Tensor) -> None:
    """Sometimes a little noise or blur over the whole picture, in place."""
    draw = torch.rand(len(canvas), device=canvas.device)
    noisy = (draw < 0.1).nonzero()[:, 0]
    chosen = canvas[noisy]
    strength = torch.rand(len(noisy), 1, 1, 1, device=canvas.device, dtype=canvas.dtype) * 0.05
    canvas[noisy] = torch.addcmul(chosen, torch.randn_like(chosen), strength)
    blurred = (draw > 0.93).nonzero()[:, 0]
    canvas[blurred] = blur(canvas[blurred])
