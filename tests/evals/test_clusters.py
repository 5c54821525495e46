"""What belongs together: the same pictures, in files or not, and a record in two languages."""

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from evals.made_results import choice_item, picture
from ivl.evals.clusters import cluster_of


def key(*images):
    return cluster_of(choice_item(0, images=images))


@pytest.mark.parametrize(
    ("first", "same", "other"),
    [
        ("a/rice.webp", Path("a/rice.webp"), "b/rice.webp"),
        (b"\xff\xd8 one", bytes(bytearray(b"\xff\xd8 one")), b"\xff\xd8 two"),
        (picture(0), picture(0), picture(1)),
        (Image.new("L", (2, 8)), Image.new("L", (2, 8)), Image.new("L", (4, 4))),
        ("data:image/png;base64,aa", "data:image/png;base64,aa", "data:image/png;base64,ab"),
    ],
    ids=["path", "bytes", "picture", "shape", "uri"],
)
def test_the_same_picture(first, same, other):
    assert key(first) == key(same)
    assert hash(key(first)) == hash(key(same))
    assert key(first) != key(other)


def test_all_pictures_count_and_their_order_does_not():
    assert key("a", "b", "c", "d") == key("d", "b", "c", "a")
    assert key("a", "b", "c", "d") != key("a", "b", "c", "e")
    assert key("a") != key("a", "b")


def test_without_pictures_an_item_is_alone_but_for_its_translation():
    item = choice_item(3, images=())
    assert cluster_of(item) == cluster_of(replace(item, question="Which cuisine is this dish of?"))
    assert cluster_of(item) != cluster_of(replace(item, item_id="q4"))
    assert cluster_of(item) != cluster_of(replace(item, where="textqa_tidy.json, entry 9"))
