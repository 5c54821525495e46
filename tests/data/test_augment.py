"""Random JPEG quality, as the official data_augment."""

import numpy as np
import PIL.Image

from ivl.data.augment import augment, quality, reencode
from ivl.data.example import Example
from ivl.types import ImagePart, Message, TextPart, VideoPart


def noise(seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    return PIL.Image.fromarray(pixels)


def example(*images, data_augment=True):
    parts = (*(ImagePart(source=image, max_tiles=3) for image in images), TextPart(text="what?"))
    messages = (Message(role="user", parts=parts), Message(role="assistant", parts=(TextPart(text="noise"),)))
    return Example(messages=messages, where="here:1", data_augment=data_augment)


def pixels(example):
    return [np.asarray(part.source) for part in example.messages[0].parts if isinstance(part, ImagePart)]


def test_qualities_are_those_of_the_official_trainer():
    seen = {quality(seed, 0, index) for seed in range(20) for index in range(50)}
    assert seen == set(range(75, 101))


def test_what_is_drawn_depends_on_the_numbers_alone():
    one, again, other = (augment(example(noise()), as_viewed=True, key=(42, epoch, 7)) for epoch in (0, 0, 1))
    assert np.array_equal(pixels(one)[0], pixels(again)[0])
    assert quality(42, 0, 7, 0) != quality(42, 1, 7, 0)
    assert not np.array_equal(pixels(one)[0], pixels(other)[0])


def test_pictures_are_reencoded_and_nothing_else_changes():
    before = example(noise(), noise())
    after = augment(before, as_viewed=True, key=(1, 2, 3))
    assert [part.max_tiles for part in after.messages[0].parts[:2]] == [3, 3]
    assert after.messages[0].parts[2] == before.messages[0].parts[2]
    assert after.messages[1] == before.messages[1]
    first, second = pixels(after)
    assert not np.array_equal(first, pixels(before)[0])
    assert quality(1, 2, 3, 0) != quality(1, 2, 3, 1)
    assert not np.array_equal(first, second)
    assert np.array_equal(first, np.asarray(reencode(noise(), quality(1, 2, 3, 0))))


def test_examples_that_do_not_ask_for_it_are_left_alone():
    plain = example("no/such/file.png", data_augment=False)
    assert augment(plain, as_viewed=True, key=(1, 2, 3)) is plain


def test_videos_are_left_alone():
    video = Message(role="user", parts=(VideoPart(source="a.mp4"),))
    before = Example(messages=(video,), where="here:1", data_augment=True)
    assert augment(before, as_viewed=True, key=(1, 2, 3)) == before


def test_low_quality_loses_more():
    image = noise().resize((256, 256))
    lost = [np.abs(np.asarray(reencode(image, each)).astype(int) - np.asarray(image)).mean() for each in (75, 90, 100)]
    assert lost[0] > lost[1] > lost[2] > 0
