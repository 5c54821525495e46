"""Planned scenes: the same seed plans the same, boxes are where pixels are drawn, labels lie on the canvas."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from tools.nano.paint import Painter
from tools.nano.planner import MAX_ITEMS, Form
from tools.nano.scene import PLAIN, Scene

from nano_world import THINGS, a_planner, name, scenes, sprites, world


def test_the_same_seed_plans_the_same() -> None:
    assert list(scenes(30, seed=3)) == list(scenes(30, seed=3))
    assert list(scenes(5, seed=3)) != list(scenes(5, seed=4))


def test_boxes_are_where_pixels_are_drawn() -> None:
    """Each thing alone on white: what differs from the ground is the box that was planned, to 1% of the picture."""
    painter = Painter(torch.from_numpy(sprites()))
    checked = 0
    for scene in scenes(14):
        white = ((1.0, 1.0, 1.0),) * 2
        lone = [replace(scene, items=(item,), ground=PLAIN, colours=white, label=None) for item in scene.items]
        for canvas, item in zip(painter.paint(lone, strong=False), scene.items, strict=True):
            drawn = np.argwhere((255 - canvas.numpy().astype(int)).max(0) > 90)
            (top, left), (bottom, right) = drawn.min(0), drawn.max(0) + 1
            width, height = scene.size
            found = 1000 * np.array((left / width, top / height, right / width, bottom / height))
            np.testing.assert_allclose(found, item.box, atol=10)
            checked += 1
    assert checked > 30


def test_things_do_not_leave_their_places_when_painted_together() -> None:
    painter = Painter(torch.from_numpy(sprites()))
    for scene in scenes(5, seed=5):
        canvas = painter.paint([replace(scene, ground=PLAIN, colours=((1.0,) * 3,) * 2)], strong=False)[0].numpy()
        outside = np.ones(canvas.shape[1:], bool)
        for item in scene.items:
            left, top, right, bottom = (
                edge * length // 1000 for edge, length in zip(item.box, scene.size * 2, strict=True)
            )
            outside[max(0, top - 3) : bottom + 4, max(0, left - 3) : right + 4] = False
        assert (canvas[:, outside] > 250).all()


def test_a_changed_look_keeps_the_size_of_the_canvas_and_its_bytes_by_seed() -> None:
    painter, chosen = Painter(torch.from_numpy(sprites())), [s for s in scenes(30, seed=8) if s.size == (224, 224)][:4]
    canvases = []
    for _ in range(2):
        torch.manual_seed(1)
        canvases.append(painter.paint(chosen, strong=True))
    assert canvases[0].shape == (4, 3, 224, 224)
    assert canvases[0].dtype == torch.uint8
    assert torch.equal(*canvases)


@pytest.mark.parametrize("form", ["single", "several", "counting", "small"])
def test_forms(form: Form) -> None:
    planner, rng = a_planner(), random.Random(form)
    size = (448, 448)
    plans = [planner.plan(form, size, rng) for _ in range(80)]
    counts = {len(plan.items) for plan in plans}
    assert max(counts) <= MAX_ITEMS
    assert counts == {1} if form == "single" else len(counts) > 3
    if form == "counting":
        assert sum(len(plan.nouns) < len(plan.items) for plan in plans) > 20
    for plan in plans:
        check_label(plan)


def check_label(plan: Scene) -> None:
    if plan.label:
        assert len(plan.items) >= 1
        assert min(plan.label.x, plan.label.y) >= 0
        assert plan.label.x + plan.label.width <= plan.size[0] + 1
        assert plan.label.y + plan.label.height <= plan.size[1] + 1


def test_signs_are_not_turned_and_hues_are_told_only_where_they_are_kept() -> None:
    plans = list(scenes(200, seed=2))
    for item in (item for plan in plans for item in plan.items):
        if THINGS[item.thing].group == 8 or item.thing == name("three o’clock"):
            assert item.angle == 0
    assert all(plan.keep_colours for plan in plans if any(item.colour for item in plan.items))
    assert any(item.colour for plan in plans for item in plan.items)


def test_a_ground_of_one_colour_does_not_hide_the_things() -> None:
    for plan in scenes(200, seed=6):
        if plan.background not in (None, "white"):
            means = world().catalogue.means[[item.sprite for item in plan.items]]
            assert np.abs(means - np.array(plan.colours[0])).max(1).min() > 0.2
