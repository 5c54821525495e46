"""Frames of folders, moving pictures and video files; and files that pretend to be a video."""

import base64
import builtins
import contextlib
import io
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ivl.errors import ImageError, MissingExtraError, SettingsError
from ivl.processing.fetch import FetchPolicy
from ivl.processing.frames import FrameRequest
from ivl.processing.tiling import split_tiles
from ivl.processing.video import VideoLimits, check_video_part, load_frames, load_video, sample_indices
from ivl.processing.videofile import _Reader
from ivl.types import VideoPart
from videos import CONTAINERS, STEP, drawn, moving_picture, video, which


def refusal(source: object, num_frames: int = 4, **options: object) -> str:
    with pytest.raises(ImageError) as caught:
        load_frames(source, num_frames, **options)  # type: ignore[arg-type]
    message = str(caught.value)
    assert "\n" not in message
    assert "0x" not in message
    assert len(message) < 400
    return message


# ---------------------------------------------------------------- which frames


def official_indices(max_frame: int, fps: float, num_segments: int, bound: tuple[float, float] | None) -> list[int]:
    """The rule as the official examples state it, in numpy."""
    start, end = bound if bound else (-100000, 100000)
    start_idx = max(0, round(start * fps))
    end_idx = min(round(end * fps), max_frame)
    seg_size = float(end_idx - start_idx) / num_segments
    return [int(start_idx + (seg_size / 2) + np.round(seg_size * idx)) for idx in range(num_segments)]


@settings(max_examples=300, deadline=None)
@given(
    num_available=st.integers(1, 2000),
    num_frames=st.integers(1, 64),
    fps=st.floats(0.5, 120),
    share=st.one_of(st.none(), st.tuples(st.floats(0, 0.99), st.floats(0, 2))),
)
def test_frames_are_chosen_as_the_official_code_does(
    num_available: int, num_frames: int, fps: float, share: tuple[float, float] | None
) -> None:
    bound = None
    if share:
        start = share[0] * (num_available - 1) / fps
        bound = (start, start + share[1] * num_available / fps)
    start_s, end_s = bound or (None, None)
    indices = sample_indices(num_available, num_frames, fps, start_s, end_s)
    assert indices == official_indices(num_available - 1, fps, num_frames, bound)
    assert indices == sorted(indices)
    assert 0 <= indices[0] <= indices[-1] < num_available


def test_eight_of_a_hundred() -> None:
    assert sample_indices(100, 8, 25.0) == [6, 18, 31, 43, 56, 68, 80, 93]
    assert sample_indices(1, 3, 25.0) == [0, 0, 0]
    assert sample_indices(100, 2, 10.0, 2.0, 4.0) == [25, 35]


# ---------------------------------------------------------------- video files


@pytest.mark.parametrize("kind", list(CONTAINERS))
def test_frames_of_each_container(kind: str, tmp_path: Path) -> None:
    data = video(kind=kind)
    path = tmp_path / "no ending"
    path.write_bytes(data)
    expected = sample_indices(48, 6, 24.0)
    for source in (path, str(path), data):
        frames = load_frames(source, 6)
        assert [which(frame) for frame in frames] == [idx * STEP % 200 / STEP for idx in expected]
        assert all((frame.mode, frame.size) == ("RGB", (64, 48)) for frame in frames)


@pytest.mark.parametrize("codec", ["mjpeg", "mpeg4", "libx264"])
@pytest.mark.parametrize("gop", [1, 7, 48])
def test_seeking_finds_the_same_frames_as_counting(codec: str, gop: int) -> None:
    data = video(40, "mkv", codec, gop=gop)
    every_frame = load_frames(data, 39)
    with av.open(io.BytesIO(data)) as container:
        decoded = [frame.to_image() for frame in container.decode(video=0)]
    for idx, frame in zip(sample_indices(40, 39, 24.0), every_frame, strict=True):
        assert np.array_equal(frame, decoded[idx])
    for idx, frame in zip(sample_indices(40, 3, 24.0), load_frames(data, 3), strict=True):
        assert np.array_equal(frame, decoded[idx])


def test_without_times_frames_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    data = video()
    by_seeking = load_frames(data, 5)
    monkeypatch.setattr(_Reader, "_seek_frames", lambda self, index, wanted: None)
    assert [frame.tobytes() for frame in load_frames(data, 5)] == [frame.tobytes() for frame in by_seeking]


def test_clip() -> None:
    frames = load_frames(video(num_frames=30, fps=10), 2, start_s=1.0, end_s=2.0)
    assert [which(frame) for frame in frames] == [12, 17]
    assert "after the end" in refusal(video(num_frames=10, fps=10), start_s=5.0)


def test_few_frames_come_more_than_once() -> None:
    frames = load_frames(video(num_frames=2), 6)
    assert [which(frame) for frame in frames] == sample_indices(2, 6, 24.0)


@pytest.mark.parametrize(
    ("matrix", "turn"), [((0, -1, 1, 0), 1), ((-1, 0, 0, -1), 2), ((0, 1, -1, 0), 3), ((1, 0, 0, 1), 0)]
)
def test_turned_video_is_upright(matrix: tuple[int, int, int, int], turn: int) -> None:
    """A telephone held upright writes lying frames and the matrix (0, 1, -1, 0): turn them clockwise."""
    data = bytearray(video(num_frames=4))
    at = data.index(b"tkhd") + 44
    a, b, c, d = (value << 16 for value in matrix)
    struct.pack_into(">9i", data, at, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    lying = load_frames(bytes(data), 1, as_viewed=False)[0]
    assert lying.size == (64, 48)
    upright = load_frames(bytes(data), 1)[0]
    assert np.array_equal(np.asarray(upright), np.rot90(np.asarray(lying), turn))


def test_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    data, real_import = video(4), builtins.__import__

    def without_av(name: str, *args: object, **kwargs: object) -> object:
        if name == "av":
            raise ImportError("No module named 'av'")
        return real_import(name, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without_av)
    with pytest.raises(MissingExtraError, match=r"pip install 'ivl\[video\]'"):
        load_frames(data)
    assert len(load_frames(moving_picture("GIF"), 2)) == 2  # needs no PyAV


# ---------------------------------------------------------------- moving pictures and folders


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_frames_of_moving_pictures(kind: str) -> None:
    data = moving_picture(kind)
    assert [which(frame) for frame in load_frames(data, 3)] == sample_indices(12, 3, 10.0)
    clip = load_frames(data, 2, start_s=0.4, end_s=0.8)
    assert [which(frame) for frame in clip] == sample_indices(12, 2, 10.0, 0.4, 0.8)


def test_default_picture_of_a_png_is_no_frame() -> None:
    buffer = io.BytesIO()
    frames = [Image.fromarray(drawn(idx)) for idx in range(4)]
    cover = Image.new("RGB", (64, 48), (255, 0, 0))
    cover.save(buffer, "PNG", save_all=True, append_images=frames, default_image=True, duration=100)
    assert [which(frame) for frame in load_frames(buffer.getvalue(), 3)] == sample_indices(4, 3, 10.0)


def test_transparent_frames_are_on_white() -> None:
    buffer = io.BytesIO()
    frames = [Image.new("RGBA", (8, 8), (idx, 0, 0, 0)) for idx in range(3)]
    frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:], lossless=True, minimize_size=False)
    assert {frame.getpixel((4, 4)) for frame in load_frames(buffer.getvalue(), 1)} == {(255, 255, 255)}


def test_folder_in_natural_order(tmp_path: Path) -> None:
    for idx in range(12):
        Image.fromarray(drawn(idx)).save(tmp_path / f"Frame{idx}.{'png' if idx % 2 else 'BMP'}")
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden.png").write_text("no picture")
    assert [which(frame) for frame in load_frames(tmp_path, 12)] == sample_indices(12, 12, 1.0)
    assert [which(frame) for frame in load_frames(str(tmp_path), 3)] == sample_indices(12, 3, 1.0)
    assert "max_frames=11" in refusal(tmp_path, limits=VideoLimits(max_frames=11))
    with pytest.raises(SettingsError, match="have no time"):
        load_frames(tmp_path, start_s=1.0)


def test_folder_of_no_pictures(tmp_path: Path) -> None:
    assert "has no frames" in refusal(tmp_path)
    (tmp_path / "a.png").write_text("no picture")
    assert "a.png" in refusal(tmp_path)


# ---------------------------------------------------------------- what is no video


@pytest.fixture
def silent_listener() -> Iterator[int]:
    """A port to which nothing may connect."""
    connections = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)

        def accept() -> None:
            try:
                connections.append(listener.accept())
            except OSError:
                return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        assert not connections, "somebody connected"
    # A connection that was on its way would be found by the waiting thread before the listener closed.
    thread.join(0.05)
    assert not connections


def playlists(port: int, secret: Path) -> dict[str, str]:
    url = f"http://127.0.0.1:{port}/a.ts"
    hls = "#EXTM3U\n#EXT-X-TARGETDURATION:5\n"
    dash = (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period>'
        '<AdaptationSet mimeType="video/mp4"><Representation id="1">'
    )
    return {
        "HLS": f"{hls}#EXTINF:5,\n{url}\n#EXT-X-ENDLIST\n",
        "HLS of a URL of a file": f"{hls}#EXTINF:5,\nfile://{secret}\n#EXT-X-ENDLIST\n",
        "HLS of a file": f"{hls}#EXTINF:5,\n{secret}\n#EXT-X-ENDLIST\n",
        "HLS of both": f"{hls}#EXTINF:5,\n{url}\n#EXTINF:5,\nfile://{secret}\n#EXT-X-ENDLIST\n",
        "master": f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhttp://127.0.0.1:{port}/b.m3u8\n",
        "DASH": f"{dash}<BaseURL>{url}</BaseURL></Representation></AdaptationSet></Period></MPD>",
        "concat": f"ffconcat version 1.0\nfile '{url}'\nfile '{secret}'\n",
        "SDP": f"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\n",
        "ASX": f'<asx version="3.0"><entry><ref href="{url}"/></entry></asx>',
        "pls": f"[playlist]\nFile1={url}\n",
        "subtitles": f"1\n00:00:00,000 --> 00:00:05,000\n{url}\n",
    }


@pytest.mark.parametrize("kind", list(playlists(0, Path("x"))))
def test_playlists_are_refused(kind: str, silent_listener: int, tmp_path: Path) -> None:
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(video(4))
    opened = secret.stat().st_atime_ns
    text = playlists(silent_listener, secret)[kind].encode()
    path = tmp_path / "holiday.mp4"
    # as it is; after the mark of a video; inside a Matroska or MP4 that is none
    for data in (
        text,
        b"\0\0\0\x18ftypisom" + bytes(12) + text,
        b"\x1aE\xdf\xa3" + text,
        b"RIFF\0\0\0\0AVI " + text,
    ):
        path.write_bytes(data)
        refusal(path)
        refusal(data)
    assert secret.stat().st_atime_ns == opened


def test_even_a_playlist_demuxer_could_open_nothing(silent_listener: int, tmp_path: Path) -> None:
    request = FrameRequest(name="x", num_frames=1, start_s=None, end_s=None, as_viewed=True, limits=VideoLimits())
    file = io.BytesIO(playlists(silent_listener, tmp_path / "secret")["HLS"].encode())
    with pytest.raises((PermissionError, av.error.FFmpegError)):
        _Reader(av=av, file=file, kind="hls", request=request)._open()


def test_without_these_walls_it_connects(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        text = playlists(listener.getsockname()[1], tmp_path / "secret")["HLS"]

        def open_plainly() -> None:
            with contextlib.suppress(av.error.FFmpegError):
                av.open(io.BytesIO(text.encode()), "r", format="hls", timeout=5)

        threading.Thread(target=open_plainly, daemon=True).start()
        listener.accept()[0].close()


def with_external_reference(data: bytes, url: bytes) -> bytes:
    """An MP4 whose track says that its data lies in another file (a data reference)."""
    where = data.index(b"url \0\0\0\1") - 4
    old = data[where : where + 12]
    new = struct.pack(">I", 12 + len(url) + 1) + b"url \0\0\0\0" + url + b"\0"
    grown = bytearray(data.replace(old, new))
    for name in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):
        at = grown.index(name) - 4
        (size,) = struct.unpack_from(">I", grown, at)
        struct.pack_into(">I", grown, at, size + len(new) - len(old))
    return bytes(grown)


def test_data_references_are_not_followed(silent_listener: int) -> None:
    data = with_external_reference(video(8), f"http://127.0.0.1:{silent_listener}/a".encode())
    with contextlib.suppress(ImageError):
        load_frames(data, 2)  # FFmpeg may ignore the reference and read the file itself


@pytest.mark.parametrize(
    "url",
    [
        "http://h.example/a.mp4",
        "rtsp://h.example/",
        "file:///etc/passwd",
        "concat://a",
    ],
)
def test_urls_are_refused(url: str) -> None:
    assert "not fetched" in refusal(url)


def test_what_is_no_video(tmp_path: Path) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "JPEG")
    still = io.BytesIO()
    Image.new("RGB", (8, 8)).save(still, "PNG")
    assert "single picture (JPEG)" in refusal(picture.getvalue())
    assert "single picture" in refusal(still.getvalue())
    assert "it is empty" in refusal(b"")
    assert "looks like text" in refusal(b"hello")
    assert "does not exist" in refusal(tmp_path / "gone.mp4")
    assert "not a path" in refusal("a\0.mp4")
    assert "device" in refusal("/dev/zero")
    assert "type int" in refusal(5)
    assert "a PDF" in refusal(b"%PDF-1.7 ...")


@pytest.mark.parametrize("kind", list(CONTAINERS))
@pytest.mark.parametrize("share", [0.01, 0.5])
def test_cut_off_videos(kind: str, share: float) -> None:
    data = video(kind=kind)
    cut = data[: int(len(data) * share)]
    if kind in ("mp4", "mov") or share < 0.1:
        refusal(cut)
        return
    with contextlib.suppress(ImageError):  # without an index at the end, it may just be shorter
        assert len(load_frames(cut, 3)) == 3


def test_sound_alone_is_no_video() -> None:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as output:
        stream = output.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.rate = 8000
        output.mux(stream.encode(frame))
        output.mux(stream.encode())
    assert "no video in it" in refusal(buffer.getvalue())


def test_rare_codecs_are_refused() -> None:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as output:
        stream = output.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        output.mux(stream.encode(av.VideoFrame.from_ndarray(drawn(1), format="rgb24")))
        output.mux(stream.encode())
    assert "ffv1" in refusal(buffer.getvalue())


def test_limits_are_named() -> None:
    data = video(num_frames=20, fps=10)
    assert "max_frames=19" in refusal(data, limits=VideoLimits(max_frames=19))
    assert "max_duration_s=1.5" in refusal(data, limits=VideoLimits(max_duration_s=1.5))
    assert "max_pixels=3000" in refusal(data, limits=VideoLimits(max_pixels=3000))
    assert "max_kept_pixels=9000" in refusal(data, limits=VideoLimits(max_kept_pixels=9000))
    assert "max_decoded_pixels=9000" in refusal(data, limits=VideoLimits(max_decoded_pixels=9000))
    gif = moving_picture("GIF")
    assert "max_frames=11" in refusal(gif, limits=VideoLimits(max_frames=11))
    assert "max_pixels=3000" in refusal(gif, limits=VideoLimits(max_pixels=3000))
    assert "max_bytes=100" in refusal(gif, limits=VideoLimits(max_bytes=100))
    assert "max_decoded_pixels=9000" in refusal(gif, limits=VideoLimits(max_decoded_pixels=9000))
    assert "max_duration_s=1.1" in refusal(gif, start_s=0.1, limits=VideoLimits(max_duration_s=1.1))
    with pytest.raises(SettingsError, match="max_frames=0"):
        VideoLimits(max_frames=0)


def test_ten_thousand_frames_are_refused() -> None:
    gif = io.BytesIO()
    Image.new("P", (8, 8)).save(gif, "GIF")
    data = gif.getvalue()
    start = 13 + 3 * (2 << (data[10] & 7))
    assert "max_frames=9000" in refusal(data[:start] + data[start:-1] * 10_000 + b";")
    assert "max_frames=9000" in refusal(video(10_000, size=(16, 16), codec="mpeg4"))


@pytest.mark.parametrize("num_frames", [0, -1, 513, 2.0, True, None, "8"])
def test_number_of_frames_is_checked(num_frames: object) -> None:
    with pytest.raises(SettingsError, match="num_frames"):
        load_frames(video(2), num_frames)  # type: ignore[arg-type]


@pytest.mark.parametrize(("start", "end"), [(-1.0, None), (2.0, 2.0), (3.0, 1.0), (float("nan"), None), (None, 0.0)])
def test_clip_bounds_are_checked(start: float | None, end: float | None) -> None:
    with pytest.raises(SettingsError, match="start_s"):
        load_frames(video(2), start_s=start, end_s=end)


# ---------------------------------------------------------------- frames of messages


def data_uri(data: bytes, kind: str = "video/mp4") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def jpeg(idx: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(drawn(idx)).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["mp4", "webm", "GIF", "WEBP", "PNG"])
def test_a_data_uri_has_the_frames_of_its_file(kind: str) -> None:
    data = moving_picture(kind) if kind.isupper() else video(12, kind)
    media = f"image/{kind.lower()}" if kind.isupper() else f"video/{kind}"
    frames = load_frames(data_uri(data, media), 4, allow_paths=False)
    assert [frame.tobytes() for frame in frames] == [frame.tobytes() for frame in load_frames(data, 4)]


def test_frames_that_are_sent_one_by_one_are_all_taken() -> None:
    encoded = [base64.b64encode(jpeg(idx)).decode() for idx in range(11)]
    frames = load_frames("data:video/jpeg;base64," + ",".join(encoded), 4)
    assert [which(frame) for frame in frames] == list(range(11))
    with pytest.raises(ImageError, match="more than 512 frames"):
        load_frames("data:video/jpeg;base64," + "," * 600)
    with pytest.raises(ImageError, match="max_kept_pixels"):
        load_frames("data:video/jpeg;base64," + ",".join(encoded), limits=VideoLimits(max_kept_pixels=64 * 48 * 10))


@pytest.mark.parametrize("kind", ["mp4", "GIF"])
def test_tiles_of_frames_are_what_the_model_sees(kind: str) -> None:
    data = moving_picture(kind) if kind.isupper() else video(12, kind)
    tiles = load_frames(data, 3, tile_size=56, limits=VideoLimits(max_kept_pixels=3 * 56**2))
    for tile, frame in zip(tiles, load_frames(data, 3), strict=True):
        (expected,) = split_tiles(frame, 1, 1, 56)
        assert tile.tobytes() == expected.tobytes()


def test_a_message_may_hold_frames() -> None:
    frames = tuple(Image.fromarray(drawn(idx)) for idx in range(3))
    part = VideoPart(frames=frames)
    assert check_video_part(part) == 3
    assert [which(frame) for frame in load_video(part)] == [0, 1, 2]
    assert check_video_part(VideoPart(source=video(12), num_frames=5)) == 5
    with pytest.raises(ImageError, match="no readable video"):
        check_video_part(VideoPart(source=data_uri(b"nothing of the kind")))


def test_what_strangers_may_not_name(tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    path.write_bytes(video(12))
    for source in (path, str(path), str(tmp_path)):
        with pytest.raises(ImageError, match="paths are not allowed"):
            load_frames(source, 2, allow_paths=False)
    for policy, words in ((None, "not fetched"), (FetchPolicy(enabled=False), "switched off"),
                          (FetchPolicy(), "not on the public internet")):  # fmt: skip
        with pytest.raises(ImageError, match=words):
            load_frames("http://127.0.0.1:9/v.mp4", 2, fetch_policy=policy)
    playlist = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n"
    with pytest.raises(ImageError, match="no readable video"):
        load_frames(data_uri(playlist), 2)
    with pytest.raises(ImageError, match="max_bytes"):
        load_frames(data_uri(moving_picture("GIF")), 2, limits=VideoLimits(max_bytes=100))
