"""`compose.compose` as one GPU kernel: every pixel of a canvas is read once, drawn over, and written once."""

import triton
import triton.language as tl
from tools.nano.compose import Drawing
from torch import Tensor

BLOCK = 32
"""Side of the square of pixels that one program draws."""


def compose(canvas: Tensor, drawing: Drawing) -> Tensor:
    """Canvases (B, 3, h, w), drawn over in place."""
    number, _, height, width = canvas.shape
    canvas = canvas.contiguous()
    grid = (number, triton.cdiv(height, BLOCK), triton.cdiv(width, BLOCK))
    sprites = drawing.sprites.contiguous()
    _compose[grid](
        canvas, sprites, drawing.maps.contiguous(), drawing.index.contiguous(), height, width,
        SIDE=sprites.shape[-1], SLOTS=drawing.index.shape[1], BLOCK=BLOCK,
    )  # fmt: skip
    return canvas


@triton.jit
def _compose(canvas, sprites, maps, index, height, width, SIDE: tl.constexpr, SLOTS: tl.constexpr, BLOCK: tl.constexpr):
    scene = tl.program_id(0).to(tl.int64)
    row = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)[:, None]
    column = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)[None, :]
    inside = (row < height) & (column < width)
    area = height * width
    place = canvas + scene * 3 * area + row * width + column
    red = tl.load(place, mask=inside, other=0.0).to(tl.float32)
    green = tl.load(place + area, mask=inside, other=0.0).to(tl.float32)
    blue = tl.load(place + 2 * area, mask=inside, other=0.0).to(tl.float32)
    y = row.to(tl.float32) + 0.5
    x = column.to(tl.float32) + 0.5
    for slot in range(SLOTS):
        sprite = tl.load(index + scene * SLOTS + slot)
        if sprite >= 0:
            m = maps + sprite * 6
            u = tl.load(m) * x + tl.load(m + 1) * y + tl.load(m + 2) - 0.5
            v = tl.load(m + 3) * x + tl.load(m + 4) * y + tl.load(m + 5) - 0.5
            touched = inside & (u > -1) & (u < SIDE) & (v > -1) & (v < SIDE)
            if tl.sum(tl.sum(touched.to(tl.int32), axis=1), axis=0) > 0:
                left = tl.floor(u)
                top = tl.floor(v)
                fu = u - left
                fv = v - top
                base = sprites + sprite * 4 * SIDE * SIDE
                alpha = _bilinear(base + 3 * SIDE * SIDE, left, top, fu, fv, touched, SIDE)
                red = red * (1 - alpha) + _bilinear(base, left, top, fu, fv, touched, SIDE)
                green = green * (1 - alpha) + _bilinear(base + SIDE * SIDE, left, top, fu, fv, touched, SIDE)
                blue = blue * (1 - alpha) + _bilinear(base + 2 * SIDE * SIDE, left, top, fu, fv, touched, SIDE)
    tl.store(place, red, mask=inside)
    tl.store(place + area, green, mask=inside)
    tl.store(place + 2 * area, blue, mask=inside)


@triton.jit
def _bilinear(plane, left, top, fu, fv, touched, SIDE: tl.constexpr):
    """One channel at points between four pixels; what lies outside the sprite is nothing."""
    i = left.to(tl.int32)
    j = top.to(tl.int32)
    at = plane + j * SIDE + i
    in_left = touched & (i >= 0)
    in_right = touched & (i < SIDE - 1)
    upper = j >= 0
    lower = j < SIDE - 1
    a = tl.load(at, mask=in_left & upper, other=0.0).to(tl.float32)
    b = tl.load(at + 1, mask=in_right & upper, other=0.0).to(tl.float32)
    c = tl.load(at + SIDE, mask=in_left & lower, other=0.0).to(tl.float32)
    d = tl.load(at + SIDE + 1, mask=in_right & lower, other=0.0).to(tl.float32)
    return (a * (1 - fu) + b * fu) * (1 - fv) + (c * (1 - fu) + d * fu) * fv
