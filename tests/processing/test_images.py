"""Reading pictures: every mode, every source, and everything that is no picture."""

import base64
import contextlib
import hashlib
import io
import json
import os
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from ivl.errors import ImageError, SettingsError
from ivl.processing import images as images_module
from ivl.processing.fetch import FetchPolicy
from ivl.processing.headers import trim_gif
from ivl.processing.images import ImageLimits, content_digest, load_image

PARITY = Path(__file__).parents[1] / "parity" / "preprocess"
GOLDEN = json.loads((PARITY / "pillow12.json").read_text())
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")


def picture(width: int = 40, height: int = 30, mode: str = "RGB", seed: int = 0) -> Image.Image:
    shape = (height, width, len(mode)) if len(mode) > 1 else (height, width)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return Image.fromarray(pixels)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def refusal(source: object, **options: object) -> str:
    """The message of the ImageError that reading must end in: one line that shows no inner workings."""
    with pytest.raises(ImageError) as caught:
        load_image(source, **options)  # type: ignore[arg-type]
    message = str(caught.value)
    assert "\n" not in message
    assert "0x" not in message
    assert "Traceback" not in message
    assert 10 < len(message) < 400
    return message


@pytest.fixture
def no_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is refused from its header must not reach a decoder."""

    def fail(self: ImageFile.ImageFile) -> None:
        raise AssertionError("pixels were decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)


# ---------------------------------------------------------------- the official reading


@pytest.mark.parametrize("golden", GOLDEN["images"], ids=lambda golden: golden["file"])
def test_official_reading_equals_golden(golden: dict) -> None:
    image = load_image(PARITY / "images" / golden["file"], as_viewed=False)
    assert (image.mode, list(image.size)) == ("RGB", golden["size_wh"])
    assert hashlib.sha256(image.tobytes()).hexdigest() == golden["rgb_sha256"]


@pytest.mark.filterwarnings("ignore:Palette images")
@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_official_reading_equals_pil(kind: str, mode: str) -> None:
    data = encoded(picture().convert("L" if kind in ("JPEG", "WEBP") and mode in "1P" else mode), kind)
    expected = Image.open(io.BytesIO(data)).convert("RGB")
    assert load_image(data, as_viewed=False).tobytes() == expected.tobytes()


# ---------------------------------------------------------------- as a viewer shows it


def on_white(rgba: np.ndarray) -> np.ndarray:
    """Composited by the textbook formula, in floats."""
    alpha = rgba[..., 3:].astype(np.float64) / 255
    return np.rint(rgba[..., :3] * alpha + 255 * (1 - alpha)).astype(np.int64)


def assert_shows(image: Image.Image, expected: np.ndarray) -> None:
    shown = np.asarray(image).astype(np.int64)
    assert shown.shape == expected.shape
    assert np.abs(shown - expected).max() <= 1


sizes = st.integers(1, 24)


@settings(max_examples=25, deadline=None)
@given(width=sizes, height=sizes, seed=st.integers(0, 999), kind=st.sampled_from(["PNG", "TIFF", "WEBP"]))
def test_alpha_is_composited_on_white(width: int, height: int, seed: int, kind: str) -> None:
    image = picture(width, height, "RGBA", seed)
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    shown = load_image(encoded(image, kind, **options))
    assert_shows(shown, on_white(np.asarray(image)))


@settings(max_examples=25, deadline=None)
@given(
    width=sizes,
    height=sizes,
    seed=st.integers(0, 999),
    key=st.one_of(st.integers(0, 15), st.binary(min_size=1, max_size=16)),
    kind=st.sampled_from(["PNG", "GIF"]),
)
def test_transparent_palette_is_composited(width: int, height: int, seed: int, key: int | bytes, kind: str) -> None:
    if kind == "GIF" and isinstance(key, bytes):
        key = key[0] % 16
    rng = np.random.default_rng(seed)
    indices = rng.integers(0, 16, (height, width), dtype=np.uint8)
    indices.flat[0] = 15  # the writers shorten palettes to what is used
    colours = rng.integers(0, 256, (16, 3), dtype=np.uint8)
    image = Image.fromarray(indices).convert("L")
    image.putpalette(colours.tobytes())
    alphas = np.full(16, 255, np.uint8)
    if isinstance(key, int):
        alphas[key] = 0
    else:
        alphas[: len(key)] = np.frombuffer(key, np.uint8)
    shown = load_image(encoded(image, kind, transparency=key))
    assert_shows(shown, on_white(np.concatenate([colours, alphas[:, None]], axis=1)[indices]))


@settings(max_examples=25, deadline=None)
@given(width=sizes, height=sizes, seed=st.integers(0, 999), with_key=st.booleans())
def test_deep_grey_is_scaled(width: int, height: int, seed: int, with_key: bool) -> None:
    values = np.random.default_rng(seed).integers(0, 65536, (height, width), dtype=np.uint16)
    key = int(values[0, 0])
    data = encoded(Image.fromarray(values), "PNG")
    if with_key:
        data = with_chunk(data, b"tRNS", struct.pack(">H", key))
    expected = np.rint(values / 65535 * 255).astype(np.int64)
    if with_key:
        expected[values == key] = 255
    assert_shows(load_image(data), np.repeat(expected[..., None], 3, axis=2))


def with_chunk(png: bytes, name: bytes, body: bytes) -> bytes:
    """A PNG with one more chunk after its header."""
    chunk = struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    return png[:33] + chunk + png[33:]


def grey_png(depth: int, levels: np.ndarray) -> bytes:
    """A grey PNG of 1, 2 or 4 bits, whose width fills whole bytes."""
    height, width = levels.shape
    per_byte = 8 // depth
    packed = np.zeros((height, width // per_byte), np.uint8)
    for idx in range(per_byte):
        packed |= (levels[:, idx::per_byte] << (8 - depth * (idx + 1))).astype(np.uint8)
    rows = b"".join(b"\0" + row.tobytes() for row in packed)
    head = png_header(width, height, depth, 0)
    return head + chunk_bytes(b"IDAT", zlib.compress(rows)) + chunk_bytes(b"IEND", b"")


def chunk_bytes(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_header(width: int, height: int, depth: int = 8, colour: int = 2) -> bytes:
    body = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk_bytes(b"IHDR", body)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_transparent_level_of_shallow_grey(depth: int) -> None:
    top = 2**depth - 1
    levels = np.arange(16, dtype=np.uint8).reshape(2, 8) % (top + 1)
    for key in range(top + 1):
        shown = load_image(with_chunk(grey_png(depth, levels), b"tRNS", struct.pack(">H", key)))
        expected = np.where(levels == key, 255, levels.astype(np.int64) * 255 // top)
        assert_shows(shown, np.repeat(expected[..., None], 3, axis=2))


def test_transparent_colour_of_rgb() -> None:
    pixels = np.array([[[1, 2, 3], [1, 2, 4]]], np.uint8)
    shown = load_image(with_chunk(encoded(Image.fromarray(pixels), "PNG"), b"tRNS", struct.pack(">3H", 1, 2, 3)))
    assert np.asarray(shown).tolist() == [[[255, 255, 255], [1, 2, 4]]]


def test_transparent_colour_of_16_bit_rgb() -> None:
    samples = np.array([[[0x1234, 0x5678, 0x9ABC], [0xFFFF, 0, 0]]], ">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in samples)
    data = png_header(2, 1, 16, 2) + chunk_bytes(b"IDAT", zlib.compress(rows)) + chunk_bytes(b"IEND", b"")
    shown = load_image(with_chunk(data, b"tRNS", struct.pack(">3H", 0x1234, 0x5678, 0x9ABC)))
    assert np.asarray(shown).tolist() == [[[255, 255, 255], [255, 0, 0]]]


TURNED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: a[::-1].transpose(1, 0, 2),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: a[:, ::-1].transpose(1, 0, 2),
    9: lambda a: a,
    0: lambda a: a,
}


@pytest.mark.parametrize("orientation", sorted(TURNED))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_upright_by_exif(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(picture(), kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    plain = np.asarray(load_image(encoded(picture(), kind, **({"lossless": True} if kind == "WEBP" else {}))))
    shown = load_image(data)
    assert np.array_equal(np.asarray(shown), TURNED[orientation](plain))
    # Read again, as a pipeline may do with a picture it is handed, it must not turn a second time.
    assert np.array_equal(np.asarray(load_image(shown)), np.asarray(shown))


def test_upright_pil_image_set_in_memory() -> None:
    image = picture()
    image.getexif()[0x0112] = 6
    assert np.array_equal(np.asarray(load_image(image)), TURNED[6](np.asarray(picture())))


def test_damaged_exif_is_ignored() -> None:
    for blob in (b"", b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"):
        data = encoded(picture(), "JPEG")
        segment = b"\xff\xe1" + struct.pack(">H", len(blob) + 2) + blob
        assert load_image(data[:2] + segment + data[2:]).size == (40, 30)


PIL_MODES = ["1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "LA", "PA"]
PIL_MODES += ["RGBX", "RGBa", "La", "I;16", "I;16L", "I;16B"]


@pytest.mark.parametrize("mode", PIL_MODES)
@pytest.mark.parametrize("as_viewed", [True, False])
def test_every_pil_mode(mode: str, as_viewed: bool) -> None:
    grey = picture(mode="L")
    if mode in ("La", "RGBa"):
        image = grey.convert(mode[:-1] + "A").convert(mode)
    else:
        image = (grey if mode.startswith("I;16") or mode in ("LA", "PA") else picture()).convert(mode)
    before = image.tobytes()
    shown = load_image(image, as_viewed)
    assert (shown.mode, shown.size, type(shown)) == ("RGB", (40, 30), Image.Image)
    assert image.tobytes() == before, "the caller's picture was changed"
    shown.putpixel((0, 0), (1, 2, 3))
    assert image.tobytes() == before, "the result shares memory with the caller's picture"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0.0, 0.5, 1.0, np.nan, np.inf]], np.float32), [0, 128, 255, 0, 255]),
        (np.array([[0.0, 128.0, 255.0]], np.float32), [0, 128, 255]),
        (np.array([[-5, 100, 255]], np.int32), [0, 100, 255]),
        (np.array([[0, 32768, 65535]], np.int32), [0, 128, 255]),
        (np.array([[0, 500_000, 1_000_000]], np.int32), [0, 128, 255]),
    ],
)
def test_wide_grey_by_its_range(values: np.ndarray, expected: list[int]) -> None:
    assert np.asarray(load_image(Image.fromarray(values)))[0, :, 0].tolist() == expected


def test_palette_transparency_leaves_the_callers_image_alone() -> None:
    image = picture(mode="L").convert("P")
    image.info["transparency"] = bytes(range(256))
    first = load_image(image)
    assert image.info["transparency"] == bytes(range(256))
    assert load_image(image, as_viewed=False).tobytes() == image.copy().convert("RGBA").convert("RGB").tobytes()
    assert load_image(image).tobytes() == first.tobytes()


# ---------------------------------------------------------------- sources


def test_every_source_gives_the_same_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(picture(), "PNG")
    path = tmp_path / "a picture:1.jpg"  # neither the name nor its ending decide anything
    path.write_bytes(data)
    monkeypatch.chdir(tmp_path)
    digits = base64.b64encode(data).decode()
    sources = [
        path,
        str(path),
        path.name,
        data,
        bytearray(data),
        memoryview(data),
        Image.open(io.BytesIO(data)),
    ]
    sources += [f"data:image/png;base64,{digits}", f"DATA:image/png;base64,{digits.rstrip('=')}"]
    sources += [f"data:image/png;charset=x;base64,{digits[:50]}%0A {digits[50:]}"]
    sources += ["data:image/png," + "".join(f"%{byte:02x}" for byte in data)]
    for source in sources:
        assert load_image(source).tobytes() == picture().tobytes(), source  # type: ignore[arg-type]


def test_fetches_what_the_policy_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fetch(url: str, policy: FetchPolicy) -> bytes:
        asked.append((url, policy))
        return encoded(picture(), "PNG")

    monkeypatch.setattr(images_module, "fetch_url", fetch)
    policy = FetchPolicy(allow_private=True)
    assert load_image("HTTP://host/a.png", fetch_policy=policy).size == (40, 30)
    load_image("https://host/a.png", limits=ImageLimits(max_bytes=12345))
    assert asked[0] == ("HTTP://host/a.png", policy)
    assert not asked[1][1].allow_private
    assert asked[1][1].max_bytes == 12345


@pytest.mark.parametrize("url", ["file:///etc/passwd", "file:/etc/passwd", "ftp://h/x.png", "gopher://h/", "xy://"])
def test_other_schemes_are_refused(url: str) -> None:
    assert "only http" in refusal(url)


def test_paths_can_be_switched_off(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    picture().save(path)
    assert "paths are not allowed" in refusal(str(path), allow_paths=False)
    assert "paths are not allowed" in refusal(path, allow_paths=False)


# ---------------------------------------------------------------- what is no picture


def test_paths_that_are_no_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "note.png").write_text("This is no picture.")
    (tmp_path / "empty.jpg").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    cases = {
        "note.png": "looks like text",
        "empty.jpg": "it is empty",
        "pipe.png": "device, pipe or socket",
        "loop.png": "cannot be read",
        "gone.png": "does not exist",
        "x" * 5000: "cannot be read",
        "nul\0.png": "not a path",
        ".": "is a folder",
    }
    for name, words in cases.items():
        assert words in refusal(f"{tmp_path}/{name}"), name
    assert "device" in refusal("/dev/zero")
    assert "not a path" in refusal("")

    def deny(*args: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", deny)
    assert "no permission" in refusal(tmp_path / "note.png")


@pytest.mark.parametrize("source", [None, 5, 1.5, ["a.png"], {"url": "a.png"}, np.zeros((4, 4, 3)), io.BytesIO(b"")])
def test_sources_of_other_types(source: object) -> None:
    assert type(source).__name__ in refusal(source)


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("data:", "not allowed"),
        ("data:image/png;base64", "not allowed"),
        ("data:,abc", "not allowed"),
        ("data:text/html;base64,PGh0bWw+", "not allowed"),
        ("data:application/pdf;base64,JVBERi0=", "not allowed"),
        ("data:image/png;base64,", "it is empty"),
        ("data:image/png;base64,@@@@", "not valid base64"),
        ("data:image/png;base64,AAAAA", "not valid base64"),
        ("data:image/png;base64,\u4f60\u597d", "not valid base64"),
        ("data:image/png;base64,aGVsbG8gd29ybGQ=", "looks like text"),
        ("data:image/svg+xml,<svg xmlns='x'/>", "SVG"),
    ],
)
def test_data_uris_that_are_no_pictures(uri: str, words: str) -> None:
    assert words in refusal(uri)


DISGUISED = {
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
    "PDF": b"%PDF-1.7\n",
    "PSD": b"8BPS\0\1" + bytes(30),
    "FITS": b"SIMPLE  =                    T" + b" " * 2850,
    "ICO": b"\0\0\1\0\1\0\x10\x10" + bytes(40),
    "PPM": b"P6\n2 2\n255\n" + bytes(12),
    "TGA": bytes(2) + b"\2" + bytes(40),
    "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40),
    "HEIC": b"\0\0\0\x18ftypheic" + bytes(40),
    "AVIF": b"\0\0\0\x18ftypavif" + bytes(40),
    "MP4": b"\0\0\0\x18ftypisom" + bytes(40),
    "HTML": b"<!DOCTYPE html><html></html>",
    "zip": b"PK\x03\x04" + bytes(30),
    "WAV": b"RIFF\0\0\0\0WAVE" + bytes(30),
}


@pytest.mark.parametrize("kind", DISGUISED)
def test_other_formats_are_refused_whatever_they_are_called(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(DISGUISED[kind])
    assert "JPEG, PNG, WebP, GIF, BMP or TIFF" in refusal(path)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9])
def test_cut_off_pictures(kind: str, share: float) -> None:
    data = encoded(picture(200, 150), kind)
    assert "cut off or damaged" in refusal(data[: int(len(data) * share)]) or share == 0.02


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # of damaged TIFFs
@settings(max_examples=60, deadline=None)
@given(kind=st.sampled_from(FORMATS), seed=st.integers(0, 10**6))
def test_damaged_pictures_raise_nothing_else(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = bytearray(encoded(picture(mode="RGB"), kind))
    for idx in rng.integers(0, min(len(data), 200), 4):
        data[idx] = rng.integers(0, 256)
    with contextlib.suppress(ImageError):
        assert load_image(bytes(data), limits=ImageLimits(max_pixels=10**6)).mode == "RGB"


def test_decoder_out_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: ImageFile.ImageFile) -> None:
        raise MemoryError

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    assert "too much memory" in refusal(encoded(picture(), "PNG"))


# ---------------------------------------------------------------- extreme sizes and bombs


@pytest.mark.parametrize("size", [(1, 1), (1, 20_000), (60_000, 1), (65_535, 1)])
def test_extreme_sides_work(size: tuple[int, int]) -> None:
    image = load_image(encoded(Image.new("RGB", size, (9, 8, 7)), "PNG"))
    assert (image.size, image.getpixel((0, 0))) == (size, (9, 8, 7))


def test_limits_are_named() -> None:
    data = encoded(picture(), "PNG")
    assert "max_side=30" in refusal(data, limits=ImageLimits(max_side=30))
    assert "max_pixels=1199" in refusal(data, limits=ImageLimits(max_pixels=1199))
    assert "max_bytes=100" in refusal(data, limits=ImageLimits(max_bytes=100))
    assert "max_pixels=1199" in refusal(picture(), limits=ImageLimits(max_pixels=1199))
    assert load_image(data, limits=ImageLimits(max_pixels=1200, max_side=40, max_bytes=len(data))).size
    uri = "data:image/png;base64," + "A" * 1000
    assert "max_bytes=100" in refusal(uri, limits=ImageLimits(max_bytes=100))
    with pytest.raises(SettingsError, match="max_side=0"):
        ImageLimits(max_side=0)


def test_limit_on_bytes_of_a_path(tmp_path: Path) -> None:
    path = tmp_path / "big.png"
    with path.open("wb") as file:
        file.truncate(10**10)  # takes no space, and must not be read
    assert "max_bytes=1000" in refusal(path, limits=ImageLimits(max_bytes=1000))


def tiff_header(width: int, height: int, *more: tuple[int, int]) -> bytes:
    tags = sorted([(256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), *more])
    lines = b"".join(struct.pack("<HHLL", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + lines + bytes(4)


def bombs() -> dict[str, bytes]:
    jpeg = bytearray(encoded(picture(), "JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", 65000, 65000)
    gif = bytearray(encoded(picture(), "GIF"))
    gif[6:10] = struct.pack("<HH", 65535, 65535)
    frame_only = bytearray(encoded(picture(), "GIF"))
    where = frame_only.index(struct.pack("<HH", 40, 30), 12)
    frame_only[where : where + 4] = struct.pack("<HH", 65535, 65535)
    bmp = bytearray(encoded(picture(), "BMP"))
    bmp[18:26] = struct.pack("<ii", 50_000, 50_000)
    webp_body = b"VP8X\x0a\0\0\0\0\0\0\0" + b"\xff\xff\xff" * 2
    webp = b"RIFF" + struct.pack("<I", len(webp_body) + 4) + b"WEBP" + webp_body
    return {
        "PNG": png_header(50_000, 50_000) + chunk_bytes(b"IDAT", zlib.compress(bytes(10**6))),
        "long PNG": png_header(100_000_000, 1) + chunk_bytes(b"IDAT", b""),
        "JPEG": bytes(jpeg),
        "GIF": bytes(gif),
        "frame of a GIF": bytes(frame_only),
        "BMP": bytes(bmp),
        "WebP": webp,
        "lossless WebP": b"RIFF\x20\0\0\0WEBPVP8L\x10\0\0\0\x2f" + struct.pack("<I", 0x0FFFFFFF) + bytes(12),
        "TIFF": tiff_header(50_000, 50_000),
        "tile of a TIFF": tiff_header(10, 10, (322, 60_000), (323, 60_000), (324, 8), (325, 8)),
    }


@pytest.mark.filterwarnings("error")
@pytest.mark.usefixtures("no_decoding")
@pytest.mark.parametrize("kind", list(bombs()))
def test_bombs_are_refused_from_the_header(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bombs()[kind]
    monkeypatch.setattr(images_module, "fetch_url", lambda url, policy: data)
    path = tmp_path / "bomb.png"
    path.write_bytes(data)
    uri = "data:image/png;base64," + base64.b64encode(data).decode()
    tracemalloc.start()
    try:
        for source in (data, path, uri, "https://pictures.example/bomb.png"):
            message = refusal(source)
            assert "max_pixels" in message or "max_side" in message or kind == "frame of a GIF"
        assert tracemalloc.get_traced_memory()[1] < 32 * 2**20
    finally:
        tracemalloc.stop()


def many_frames(num_frames: int, comment: bytes = b"") -> bytes:
    gif = encoded(picture(8, 8).convert("P"), "GIF")
    start = 13 + 3 * (2 << (gif[10] & 7))
    return gif[:start] + comment + gif[start:-1] * num_frames + b";"


def test_of_ten_thousand_frames_only_the_first_is_read() -> None:
    data = many_frames(10_000)
    trimmed = trim_gif(data, 1)
    assert trimmed is not None
    assert (trimmed.num_frames, trimmed.has_more) == (1, True)
    assert len(trimmed.data) < 2000
    expected = Image.open(io.BytesIO(data)).convert("RGB")
    assert load_image(data).tobytes() == expected.tobytes()


def test_long_comment_of_a_gif_costs_nothing() -> None:
    comment = b"!\xfe" + (b"\xff" + b"c" * 255) * 80_000 + b"\0"  # 20 MB: minutes in Pillow 12
    assert load_image(many_frames(1, comment)).size == (8, 8)
    tiny_blocks = b"!\xfe" + b"\1c" * 1_100_000 + b"\0"
    assert "too many blocks" in refusal(many_frames(1, tiny_blocks))


def greedy_directory(entries: int, size: int) -> bytes:
    """A directory whose every entry names the same `size` bytes."""
    data_at = 8 + 2 + 12 * entries + 4
    lines = b"".join(struct.pack("<HHLL", 1000 + idx, 7, size, data_at) for idx in range(entries))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", entries) + lines + bytes(4) + bytes(size)


def test_greedy_exif_takes_no_memory() -> None:
    blob = greedy_directory(2000, 400_000)  # 800 MB if every entry is copied
    pieces = [b"Exif\0\0" + blob[at : at + 60_000] for at in range(0, len(blob), 60_000)]
    segments = b"".join(b"\xff\xe1" + struct.pack(">H", len(piece) + 2) + piece for piece in pieces)
    jpeg = encoded(picture(), "JPEG")
    jpeg = jpeg[:2] + segments + jpeg[20:]
    png = with_chunk(encoded(picture(), "PNG"), b"eXIf", blob)
    tracemalloc.start()
    try:
        for data in (jpeg, png):
            assert load_image(data).size == (40, 30)
            assert load_image(data, as_viewed=False).size == (40, 30)
        assert "many times" in refusal(blob)  # the same as a TIFF
        assert tracemalloc.get_traced_memory()[1] < 64 * 2**20
    finally:
        tracemalloc.stop()


def test_jpeg_of_too_many_pieces() -> None:
    data = encoded(picture(), "JPEG", progressive=True)
    segment = b"\xff\xe1\x00\x0aExif\0\0xx"
    assert "EXIF" in refusal(data[:2] + segment * 200 + data[2:])
    assert "scans" in refusal(data[:-2] + b"\xff\xda" * 300 + data[-2:])


# ---------------------------------------------------------------- digests


def test_digest_tells_pictures_apart() -> None:
    flat = Image.frombytes("RGB", (30, 150), bytes(range(250)) * 54)
    tall = Image.frombytes("RGB", (150, 30), bytes(range(250)) * 54)
    assert flat.tobytes() == tall.tobytes()
    indices = picture(mode="L")
    one, other = indices.convert("P"), indices.convert("P")
    one.putpalette(bytes(range(256)) * 3)
    other.putpalette(bytes(reversed(range(256))) * 3)
    assert one.tobytes() == other.tobytes()
    see_through = one.copy()
    see_through.info["transparency"] = 3
    digests = [
        content_digest(flat),
        content_digest(tall),
        content_digest(one),
        content_digest(other),
        content_digest(see_through),
        content_digest(load_image(one)),
        content_digest(load_image(other)),
        content_digest(flat, max_tiles=6),
        content_digest(flat, max_tiles=12),
        content_digest(flat, max_tiles="12"),
        content_digest(flat, min_tiles=12),
    ]
    assert len(set(digests)) == len(digests)
    assert all(len(digest) == 64 for digest in digests)
    assert content_digest(flat.copy()) == digests[0]
    assert content_digest(flat, a=1, b=2) == content_digest(flat, b=2, a=1)
