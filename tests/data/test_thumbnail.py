"""Small pictures for reports: their size and form, and that the picture itself stays as it is."""

import io

import pytest
from PIL import Image

from ivl.data.thumbnail import thumbnail
from ivl.errors import ImageError


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize(("size", "small"), [((1600, 900), (320, 180)), ((30, 40), (30, 40)), ((10, 4000), (1, 320))])
def test_size(size, small):
    image = Image.new("RGB", size, "red")
    drawn = opened(thumbnail(image, 320))
    assert (drawn.format, drawn.size) == ("JPEG", small)
    assert image.size == size


def test_transparency_is_white(tmp_path):
    Image.new("RGBA", (20, 20), (255, 0, 0, 0)).save(tmp_path / "a.png")
    assert opened(thumbnail(tmp_path / "a.png", 20)).getpixel((5, 5)) == (255, 255, 255)


@pytest.mark.parametrize("source", ["https://example.org/a.png", "gone.png", b"no picture"], ids=str)
def test_what_cannot_be_drawn(source):
    with pytest.raises(ImageError):
        thumbnail(source, 100)
