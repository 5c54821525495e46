"""Maps say of every image token what it shows, and their signs leave no trace in the model that ships."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from tools.nano.lettering import Lettering
from tools.nano.letters import SIDE, make_letters
from tools.nano.maps import (
    GRID,
    LETTERS,
    NOTHING,
    letter_sign,
    letters,
    map_of_letters,
    map_of_things,
    map_signs,
    thing_sign,
)
from tools.nano.paint import Painter
from tools.nano.scene import PLAIN
from tools.nano.trim import trimmed

from nano_world import a_font_folder, scenes, sprites, world
from random_model import make_model


def test_signs_are_all_different_and_in_the_private_area() -> None:
    signs = map_signs()
    assert len(set(signs)) == len(signs)
    assert all("\ue000" <= sign <= "\uf8ff" for sign in signs)
    assert {NOTHING, thing_sign(0), thing_sign(1499), letter_sign("A"), letter_sign(letters()[-1])} <= set(signs)
    assert letter_sign(letters()[0]) not in {thing_sign(thing) for thing in range(1500)}


def test_a_map_names_what_is_painted_there() -> None:
    """Painted alone on white, a thing's tokens are those with its ink; and a token without ink shows nothing."""
    painter, checked = Painter(torch.from_numpy(sprites())), 0
    white = ((1.0, 1.0, 1.0),) * 2
    for scene in [each for each in scenes(60, seed=9) if each.size == (SIDE, SIDE)]:
        for item in scene.items:
            lone = replace(scene, items=(item,), ground=PLAIN, colours=white, label=None)
            told = map_of_things(lone, world().catalogue.outlines)
            assert set(told) <= {NOTHING, thing_sign(item.thing)}
            ink = (255 - painter.paint([lone], strong=False)[0].numpy().astype(int)).max(0) > 30
            inked = ink.reshape(GRID, SIDE // GRID, GRID, SIDE // GRID).mean((1, 3)).reshape(-1)
            shown = np.array([sign != NOTHING for sign in told])
            assert (inked[shown] > 0.1).all()
            checked += shown.sum()
    assert checked > 100


def test_the_thing_that_covers_more_of_a_token_is_told() -> None:
    scene = next(each for each in scenes(60, seed=9) if each.size == (SIDE, SIDE))
    near = replace(scene.items[0], thing=1, x=98, y=98, side=110.0, angle=0.0, stretch=(1.0, 1.0))
    scene = replace(scene, items=(near, replace(near, thing=2, x=140, y=98)), label=None)
    told = map_of_things(scene, world().catalogue.outlines)
    row = told[3 * GRID : 4 * GRID]
    assert row.index(thing_sign(1)) < row.index(thing_sign(2))
    assert row.rstrip(NOTHING)[-1] == thing_sign(2)


def test_letters_stand_where_their_boxes_are() -> None:
    token = SIDE // GRID
    told = map_of_letters([("A", (0, 0, 20, 20)), ("b", (5 * token + 2, 3 * token, 6 * token, 4 * token))], SIDE)
    assert told[0] == letter_sign("A")
    assert told[3 * GRID + 5] == letter_sign("b")
    assert told.count(NOTHING) == GRID**2 - 2
    wide = map_of_letters([("W", (0, 0, 2 * token, 2 * token))], SIDE)
    assert [idx for idx, sign in enumerate(wide) if sign == letter_sign("W")] == [0, 1, GRID, GRID + 1]


@pytest.fixture(scope="module")
def lettering(tmp_path_factory: pytest.TempPathFactory) -> Lettering:
    return Lettering(a_font_folder(tmp_path_factory.mktemp("fonts")))


def test_pages_of_letters(lettering: Lettering) -> None:
    told = set()
    for seed in range(12):
        picture, answer = make_letters(random.Random(seed), lettering)
        assert picture.size == (SIDE, SIDE)
        assert len(answer) == GRID**2
        assert set(answer) <= {NOTHING, *map(letter_sign, letters())}
        told |= set(answer)
        again = make_letters(random.Random(seed), lettering)
        assert (again[0].tobytes(), again[1]) == (picture.tobytes(), answer)
    assert len(told) > len(LETTERS)


def test_a_trimmed_model_says_the_same_of_the_tokens_that_are_left() -> None:
    model = make_model().float()
    size = model.config.text.vocab_size - 7
    ids = torch.arange(3, 19)[None] % (size - 10)
    with torch.inference_mode():
        before, after = (each(ids).logits for each in (model, trimmed(model, size)))
    torch.testing.assert_close(after, before[..., :size])
