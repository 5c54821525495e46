"""Grounds, sprites on them, changed looks and the names of colours: what the painter is made of, on a CPU."""

import random

import numpy as np
import pytest
import torch
from tools.nano.augment import augment, spoil
from tools.nano.colours import NAMES, dominant_colours, draw_colour, mean_colours
from tools.nano.compose import Drawing, compose, shrink_detail
from tools.nano.grounds import paint_grounds
from tools.nano.scene import GRADIENT, MOTLEY, NOISE, PLAIN, STRIPES, Scene

CPU = torch.device("cpu")
RED, BLUE = (0.9, 0.1, 0.1), (0.1, 0.1, 0.9)


def a_scene(ground: int) -> Scene:
    return Scene(size=(40, 24), items=(), ground=ground, background=None, colours=(RED, BLUE), keep_colours=False)


def a_square(side: int = 16) -> torch.Tensor:
    """A green sprite (1, 4, side, side) that fills its place."""
    sprite = torch.zeros(1, 4, side, side)
    sprite[:, [1, 3]] = 1
    return sprite


@pytest.mark.parametrize("name", NAMES)
def test_a_drawn_colour_has_its_name_or_none(name: str) -> None:
    """The palest pinks are given no name; no colour is given another's."""
    rng, found = random.Random(name), []
    for _ in range(20):
        rgb = np.array(draw_colour(name, rng))
        sprite = np.full((1, 4, 20, 20), 255, np.uint8)
        sprite[0, :3] = (255 * rgb).round()[:, None, None]
        found.append(int(dominant_colours(sprite)[0]))
        assert mean_colours(sprite)[0] == pytest.approx(rgb, abs=0.01)
    assert set(found) <= {NAMES.index(name), -1}
    assert found.count(-1) < 5


def test_a_motley_sprite_has_no_one_colour() -> None:
    sprite = np.full((1, 4, 20, 20), 255, np.uint8)
    sprite[0, 0, :, :10] = sprite[0, 1, :, 10:] = 0
    assert dominant_colours(sprite)[0] == -1


def test_grounds_lie_between_their_two_colours() -> None:
    scenes = [a_scene(ground) for ground in (PLAIN, GRADIENT, NOISE, STRIPES, MOTLEY)]
    torch.manual_seed(1)
    canvas = paint_grounds(scenes, CPU, torch.float32)
    assert canvas.shape == (5, 3, 24, 40)
    assert torch.allclose(canvas[0], torch.tensor(RED)[:, None, None].expand(3, 24, 40))
    first, second = torch.tensor(RED)[:, None, None], torch.tensor(BLUE)[:, None, None]
    low, high = torch.minimum(first, second) - 1e-6, torch.maximum(first, second) + 1e-6
    for ground in canvas[1:]:
        assert bool(((ground >= low) & (ground <= high)).all())
        assert float(ground.std()) > 0.05


def test_a_sprite_covers_its_square_and_nothing_else() -> None:
    canvas = torch.zeros(1, 3, 24, 40)
    # The sprite's pixel (x, y) is the canvas's (x + 10, y + 4).
    maps = torch.tensor([[1.0, 0.0, -10.0, 0.0, 1.0, -4.0]])
    compose(canvas, Drawing(sprites=a_square(), maps=maps, index=torch.tensor([[0, -1]])))
    green = canvas[0, 1]
    assert torch.equal(green[4:20, 10:26], torch.ones(16, 16))
    assert float(green.sum()) == pytest.approx(16 * 16)
    assert float(canvas[0, [0, 2]].sum()) == 0


def test_detail_goes_only_where_a_sprite_is_drawn_small() -> None:
    checks = torch.zeros(2, 4, 16, 16)
    checks[:, :, ::2, ::2] = checks[:, :, 1::2, 1::2] = 1
    out = shrink_detail(checks, torch.tensor([16.0, 4.0]))
    assert torch.equal(out[0], checks[0])
    assert float(out[1].std()) < 0.1


def test_looks_change_and_colours_are_kept_where_they_are_asked_for() -> None:
    torch.manual_seed(2)
    sprites = a_square(32).expand(64, -1, -1, -1).clone()
    keep = torch.arange(64) < 32
    out = augment(sprites.clone(), keep)
    assert out.shape == sprites.shape
    assert bool(out.isfinite().all())
    assert not torch.equal(out, sprites)
    middle = out[:, :3, 12:20, 12:20].mean((2, 3))
    kept = middle[:32]
    assert bool((kept[:, 1] > kept[:, [0, 2]].amax(1)).all()), "green stays green"
    canvas = torch.rand(64, 3, 16, 16)
    before = canvas.clone()
    spoil(canvas)
    changed = (canvas != before).flatten(1).any(1)
    assert 0 < int(changed.sum()) < 40
