"""Measuring gives the numbers of the real call, from headers alone."""

import io
import zlib

import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ImageFile

from ivl.errors import ImageError, InputError, PromptError, SettingsError
from ivl.processing.images import load_image, picture_size
from ivl.types import ImagePart, Message, TextPart, VideoPart
from parity.prompts import HERE, tiny_processor

PICTURES = sorted((HERE / "preprocess" / "images").iterdir())
TEMPLATES = {"internlm2-chat": "internlm2", "Hermes-2": "qwen2", "phi3-chat": "phi3", "internvl2_5": "internlm2"}
PROCESSORS = {name: tiny_processor(name, tokenizer) for name, tokenizer in TEMPLATES.items()}


def exif(orientation: int) -> PIL.Image.Exif:
    made = PIL.Image.Exif()
    made[0x0112] = orientation
    return made


def numbers(processor, messages, max_tiles=None):
    """Tokens, tiles and trained tokens of the real call."""
    inputs = processor(messages, max_tiles=max_tiles)
    trained = 0 if inputs.labels is None else int((inputs.labels != -100).sum())
    return len(inputs.input_ids), sum(inputs.tile_counts), trained


def measured(processor, messages, max_tiles=None):
    size = processor.measure(messages, max_tiles=max_tiles)
    assert sum(picture.num_tiles for picture in size.pictures) == size.num_tiles
    return size.num_tokens, size.num_tiles, size.num_trained


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("as_viewed", [True, False])
@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_sizes_of_the_golden_pictures(path, as_viewed):
    assert picture_size(path, as_viewed) == load_image(path, as_viewed).size
    assert picture_size(path.read_bytes(), as_viewed) == load_image(path, as_viewed).size


@pytest.mark.parametrize("path", [path for path in PICTURES if path.suffix != ".tif"], ids=lambda path: path.name)
def test_no_pixel_is_decoded(path, monkeypatch):
    def fail(self):
        raise AssertionError("pixels were decoded")

    expected = load_image(path).size
    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    assert picture_size(path) == expected


def late_exif_png(orientation: int) -> bytes:
    """A PNG whose EXIF data stands after its pixels."""
    file = io.BytesIO()
    PIL.Image.new("RGB", (60, 20)).save(file, "PNG")
    data, body = file.getvalue(), b"eXIf" + exif(orientation).tobytes()[6:]
    chunk = (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    return data[:-12] + chunk + data[-12:]


@pytest.mark.parametrize("as_viewed", [True, False])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "late PNG", "in memory"])
def test_pictures_held_in_every_way(kind, orientation, as_viewed):
    if kind == "late PNG":
        source = late_exif_png(orientation)
    elif kind == "in memory":
        source = PIL.Image.new("RGB", (60, 20))
        source.getexif()[0x0112] = orientation
    else:
        file = io.BytesIO()
        PIL.Image.new("RGB", (60, 20)).save(file, kind, exif=exif(orientation))
        source = file.getvalue()
    assert picture_size(source, as_viewed) == load_image(source, as_viewed).size
    if as_viewed and kind != "TIFF":
        assert picture_size(source) == ((20, 60) if orientation > 4 else (60, 20))


@pytest.mark.parametrize("source", [b"", b"not a picture", "missing.png", PICTURES[0].read_bytes()[:20]])
def test_what_is_no_picture_is_refused_alike(source):
    with pytest.raises(ImageError) as real:
        load_image(source)
    with pytest.raises(ImageError) as asked:
        picture_size(source)
    assert str(asked.value) == str(real.value)


texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
picture_paths = st.sampled_from([path for path in PICTURES if path.stat().st_size < 200_000])


@st.composite
def conversations(draw):
    """One to three questions with pictures at marks or without, and their answers."""
    messages = []
    for _ in range(draw(st.integers(1, 3))):
        pictures = tuple(
            ImagePart(source=path, max_tiles=draw(st.none() | st.integers(1, 8)))
            for path in draw(st.lists(picture_paths, max_size=2))
        )
        marks = "<image>" * len(pictures) if draw(st.booleans()) else ""
        text = draw(texts).replace("<image>", "")
        messages.append(Message(role="user", parts=(*pictures, TextPart(text=marks + text))))
        messages.append(Message(role="assistant", parts=(TextPart(text=draw(texts)),)))
    return tuple(messages if draw(st.booleans()) else messages[:-1])


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(max_examples=40, deadline=None, derandomize=True)
@given(name=st.sampled_from(sorted(PROCESSORS)), messages=conversations(), most=st.none() | st.integers(1, 12))
def test_numbers_are_those_of_the_real_call(name, messages, most):
    processor = PROCESSORS[name]
    try:
        expected = numbers(processor, messages, most)
    except InputError as error:
        with pytest.raises(type(error)):
            processor.measure(messages, max_tiles=most)
        return
    assert measured(processor, messages, most) == expected


def test_official_reading_and_static_tiles():
    sideways = next(path for path in PICTURES if path.name.startswith("exif6"))
    messages = (("a", sideways),)
    for fields in ({"dynamic_image_size": False}, {"use_thumbnail": False}, {"min_tiles": 3}):
        processor = tiny_processor("internlm2-chat", "internlm2", **fields)
        for as_viewed in (True, False):
            processor.as_viewed = as_viewed
            assert measured(processor, messages[0]) == numbers(processor, messages[0])


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 4))
def test_more_tiles_are_never_fewer(width, height, least):
    processor = tiny_processor("internlm2-chat", PROCESSORS["internlm2-chat"].tokenizer, min_tiles=least)
    counts = [processor.count_tiles(width, height, most) for most in range(1, 30)]
    assert counts == sorted(counts)


def test_a_video_costs_its_frames(tmp_path):
    for number in range(3):
        PIL.Image.new("RGB", (30, 30), (number, 0, 0)).save(tmp_path / f"{number}.png")
    processor = PROCESSORS["internlm2-chat"]
    messages = [Message(role="user", parts=(VideoPart(source=str(tmp_path), num_frames=5), TextPart(text="?")))]
    assert measured(processor, messages) == numbers(processor, messages)
    assert processor.measure(messages).num_tiles == 5


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        (VideoPart(source="missing.mp4"), ImageError),
        (VideoPart(source="https://example.org/a.mp4"), ImageError),
        (VideoPart(source=b"no video at all"), ImageError),
        (VideoPart(source=str(PICTURES[-1].with_name("rgb_640x480.jpg"))), ImageError),
        (VideoPart(source=b"x", num_frames=600), SettingsError),
        (VideoPart(source=b"x", num_frames=2000), PromptError),
    ],
)
def test_a_video_that_is_none(part, kind):
    messages = [Message(role="user", parts=(part, TextPart(text="?")))]
    with pytest.raises(kind) as real:
        PROCESSORS["internlm2-chat"](messages)
    with pytest.raises(kind) as asked:
        PROCESSORS["internlm2-chat"].measure(messages)
    assert str(asked.value) == str(real.value)
