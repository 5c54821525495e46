"""Videos to read: files of each container, and moving pictures, whose frames tell which they are."""

import io

import av
import numpy as np
from PIL import Image

CONTAINERS = {
    "mp4": ("mp4", "libx264"),
    "mov": ("mov", "mpeg4"),
    "mkv": ("matroska", "libx264"),
    "webm": ("webm", "libvpx-vp9"),
    "avi": ("avi", "mpeg4"),
    "ts": ("mpegts", "libx264"),
    "flv": ("flv", "libx264"),
    "mpg": ("mpeg", "mpeg2video"),
}
STEP = 5


def video(
    num_frames: int = 48,
    kind: str = "mp4",
    codec: str | None = None,
    fps: int = 24,
    size: tuple[int, int] = (64, 48),
    gop: int = 12,
) -> bytes:
    """A video whose frame i has the grey of level STEP * i, brighter in its upper half."""
    buffer = io.BytesIO()
    container, default_codec = CONTAINERS[kind]
    with av.open(buffer, "w", format=container) as output:
        stream = output.add_stream(codec or default_codec, rate=fps)
        stream.width, stream.height = size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.gop_size = gop
        for idx in range(num_frames):
            frame = av.VideoFrame.from_ndarray(drawn(idx, size), format="rgb24")
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return buffer.getvalue()


def drawn(idx: int, size: tuple[int, int] = (64, 48)) -> np.ndarray:
    pixels = np.full((size[1], size[0], 3), idx * STEP % 200, np.uint8)
    pixels[: size[1] // 2] += 50
    return pixels


def which(frame: Image.Image, size: tuple[int, int] = (64, 48)) -> int:
    """The index of a frame, from its grey."""
    return round(np.asarray(frame)[-size[1] // 4 :].mean() / STEP)


def moving_picture(kind: str, num_frames: int = 12, duration: int = 100) -> bytes:
    buffer = io.BytesIO()
    frames = [Image.fromarray(drawn(idx)) for idx in range(num_frames)]
    options = {"lossless": True} if kind == "WEBP" else {}
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:], duration=duration, loop=0, **options)
    return buffer.getvalue()
