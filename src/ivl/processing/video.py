"""Frames of a video, wherever they come from: a folder of pictures, a moving picture, or a video file.

In: a path, a data URI or the bytes of a file. Out: evenly spaced frames as RGB pictures, in order of time. Knows no
prompts, and of video files only that videofile.py reads them.
"""

import io
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from PIL import Image, ImageFile

from ivl.errors import ImageError, SettingsError
from ivl.processing.decoding import ImageLimits, decode_frame, open_picture
from ivl.processing.fetch import FetchPolicy, fetch_url
from ivl.processing.frames import MOST_FRAMES, FrameRequest, VideoLimits, sample_indices
from ivl.processing.headers import sniff
from ivl.processing.images import decode_data_uri, load_image, open_file, shown_path
from ivl.processing.urls import shown_url
from ivl.processing.videofile import check_video, read_video
from ivl.processing.viewing import mend_transparency, to_rgb
from ivl.types import VideoPart

__all__ = ["VideoLimits", "check_video_part", "load_frames", "load_video", "sample_indices"]

_PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://|data:", re.IGNORECASE)
_KINDS = ("video/mp4", "video/", "image/", "application/octet-stream")
_JPEG_FRAMES = re.compile(r"data:video/jpeg;base64,", re.IGNORECASE)
"""The frames of a video one by one, with commas between: how clients of vLLM send those that they took themselves."""


def load_video(
    part: VideoPart,
    *,
    as_viewed: bool = True,
    limits: VideoLimits | None = None,
    fetch_policy: FetchPolicy | None = None,
    allow_paths: bool = True,
    tile_size: int | None = None,
) -> list[Image.Image]:
    """The frames of a message's video: those that it holds, or those taken from its source as `load_frames` does."""
    if part.frames is not None:
        return [load_image(frame, as_viewed) for frame in part.frames]
    return load_frames(
        part.source,
        part.num_frames,
        start_s=part.start_s,
        end_s=part.end_s,
        as_viewed=as_viewed,
        limits=limits,
        fetch_policy=fetch_policy,
        allow_paths=allow_paths,
        tile_size=tile_size,
    )


def check_video_part(part: VideoPart) -> int:
    """How many frames `load_video` would give; raises what it would raise of what its source's first bytes tell."""
    if part.frames is not None:
        return len(part.frames)
    request = _request(part.source, part.num_frames, start_s=part.start_s, end_s=part.end_s)
    if isinstance(part.source, str) and _JPEG_FRAMES.match(part.source):
        return len(_jpeg_frames(part.source))
    if _folder(part.source, allow_paths=True) is None:
        with _open(part.source, request, None, allow_paths=True) as file:
            if _kind_of_moving_picture(file, request) is None:
                check_video(file, request)
    return part.num_frames


def load_frames(
    source: str | Path | bytes,
    num_frames: int = 8,
    *,
    start_s: float | None = None,
    end_s: float | None = None,
    as_viewed: bool = True,
    limits: VideoLimits | None = None,
    fetch_policy: FetchPolicy | None = None,
    allow_paths: bool = True,
    tile_size: int | None = None,
) -> list[Image.Image]:
    """num_frames RGB frames, evenly spaced: the middle of each of num_frames equal parts of the video.

    source: a folder of pictures (in natural order of their names), an animated GIF, WebP or PNG, or a video
    file (by PyAV, extra `video`); a path, a data URI, or the bytes of a file. A video with fewer frames gives some
    twice; `data:video/jpeg;base64,FRAME,FRAME...` gives all of its frames.
    start_s, end_s: bounds of a clip in seconds (not for folders). as_viewed: upright, transparency on white.
    fetch_policy: which addresses a URL may name; None: none. allow_paths: False refuses paths, for sources that come
    from strangers. tile_size: give each frame as a tile of this side, as the model sees it, which takes less memory.

    Raises ImageError for what is no video, damaged, above a limit or a playlist; SettingsError for values
    that are not allowed; MissingExtraError when PyAV is needed and missing.
    """
    request = _request(
        source,
        num_frames,
        start_s=start_s,
        end_s=end_s,
        as_viewed=as_viewed,
        limits=limits or VideoLimits(),
        tile_size=tile_size,
    )
    if isinstance(source, str) and _JPEG_FRAMES.match(source):
        return _from_jpeg_frames(_jpeg_frames(source), request)
    folder = _folder(source, allow_paths)
    if folder is not None:
        return _from_folder(folder, request)
    with _open(source, request, fetch_policy, allow_paths) as file:
        return _from_file(file, request)


def _request(
    source: object,
    num_frames: int,
    *,
    start_s: float | None,
    end_s: float | None,
    as_viewed: bool = True,
    limits: VideoLimits | None = None,
    tile_size: int | None = None,
) -> FrameRequest:
    return FrameRequest(
        name=_name(source),
        num_frames=num_frames,
        start_s=start_s,
        end_s=end_s,
        as_viewed=as_viewed,
        limits=limits or VideoLimits(),
        tile_size=tile_size,
    )


def _name(source: object) -> str:
    if isinstance(source, bytes | bytearray | memoryview):
        return "the video given as bytes"
    text = str(source)
    if text[:5].lower() == "data:":
        return "the video in the data URI"
    return shown_url(text) if _URL.match(text) else shown_path(text)


def _folder(source: object, allow_paths: bool) -> Path | None:
    """The folder that a source names; None if it is something else."""
    if not allow_paths or not isinstance(source, str | Path) or _URL.match(str(source)):
        return None
    return Path(source) if _is_folder(Path(source)) else None


def _open(source: object, request: FrameRequest, policy: FetchPolicy | None, allow_paths: bool) -> BinaryIO:
    if isinstance(source, bytes | bytearray | memoryview):
        return io.BytesIO(source)
    if not isinstance(source, str | Path):
        raise ImageError(f"a video cannot be of type {type(source).__name__}: allowed are a path, data URI or bytes")
    text = str(source)
    if text[:5].lower() == "data:":
        return io.BytesIO(decode_data_uri(text, request.limits.max_bytes, _KINDS))
    if _URL.match(text) and policy is None:
        raise ImageError("a video is not fetched from a URL: download it and give its path")
    if _URL.match(text) and policy is not None:
        return io.BytesIO(fetch_url(text, policy))
    if not allow_paths:
        raise ImageError("paths are not allowed here: give a data URI")
    return open_file(Path(source), request.name)


def _jpeg_frames(uri: str) -> list[str]:
    """The frames as base64."""
    return uri[uri.index(",") + 1 :].split(",", maxsplit=MOST_FRAMES)


def _from_jpeg_frames(encoded: list[str], request: FrameRequest) -> list[Image.Image]:
    if request.start_s is not None or request.end_s is not None:
        raise SettingsError(f"start_s, end_s cannot be used for {request.name}: frames that are sent have no time")
    if len(encoded) > MOST_FRAMES:
        raise ImageError(f"{request.name} holds more than {MOST_FRAMES} frames: send fewer")
    request = replace(request, num_frames=len(encoded))  # who sent them has chosen them
    return _kept([f"data:image/jpeg;base64,{frame}" for frame in encoded], request)


def _kind_of_moving_picture(file: BinaryIO, request: FrameRequest) -> str | None:
    """GIF, PNG or WebP; None for what may be a video file. Raises ImageError for a single picture."""
    kind = sniff(file.read(16))
    file.seek(0)
    if kind in ("JPEG", "BMP", "TIFF"):
        raise ImageError(f"{request.name} is a single picture ({kind}) and no video: give it as an image")
    return kind


def _from_file(file: BinaryIO, request: FrameRequest) -> list[Image.Image]:
    if _kind_of_moving_picture(file, request) is None:
        return read_video(file, request)
    data = file.read(request.limits.max_bytes + 1)
    limits = ImageLimits(max_bytes=request.limits.max_bytes, max_pixels=request.limits.max_pixels)
    image = open_picture(data, request.name, limits, most_frames=request.limits.max_frames + 1)
    mend_transparency(image)
    return _from_moving_picture(image, request)


def _from_moving_picture(image: ImageFile.ImageFile, request: FrameRequest) -> list[Image.Image]:
    """Frames of an opened GIF, WebP or PNG, gone through in order: each is drawn over those before it."""
    request.check_size(image.width, image.height)
    skipped = int(getattr(image, "default_image", False))  # a PNG's picture for viewers that show no motion
    num_frames = _count_frames(image, request) - skipped
    if num_frames < 2:
        raise ImageError(f"{request.name} is a single picture and no video: give it as an image")
    request.check_count(num_frames)
    if num_frames * image.width * image.height > request.limits.max_decoded_pixels:
        raise ImageError(
            f"{request.name} takes too long: its frames have more than "
            f"max_decoded_pixels={request.limits.max_decoded_pixels} together"
        )
    has_clip = request.start_s is not None or request.end_s is not None
    fps = _frames_per_second(image, num_frames, skipped, request) if has_clip else 1.0
    wanted = request.choose(num_frames, fps)
    taken: dict[int, Image.Image] = {}
    for idx in sorted(set(wanted)):
        _go_to(image, idx + skipped, request)
        taken[idx] = request.keep(to_rgb(image, as_viewed=request.as_viewed))
    return [taken[idx] for idx in wanted]


def _count_frames(image: ImageFile.ImageFile, request: FrameRequest) -> int:
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception as error:  # counting the frames of a GIF reads all of it
        raise ImageError(f"{request.name} is cut off or damaged: its frames cannot be counted") from error


def _frames_per_second(image: ImageFile.ImageFile, num_frames: int, skipped: int, request: FrameRequest) -> float:
    total_ms = 0.0
    for idx in range(num_frames):
        _go_to(image, idx + skipped, request)
        total_ms += float(image.info.get("duration", 0))
    if total_ms <= 0:
        raise ImageError(f"{request.name} does not say how long its frames are shown: leave out start_s and end_s")
    if total_ms / 1000 > request.limits.max_duration_s:
        raise ImageError(
            f"{request.name} has {total_ms / 1000:.0f} seconds: more than "
            f"max_duration_s={request.limits.max_duration_s}"
        )
    return num_frames * 1000 / total_ms


def _go_to(image: ImageFile.ImageFile, idx: int, request: FrameRequest) -> None:
    try:
        image.seek(idx)
    except Exception as error:
        raise ImageError(f"{request.name} is cut off or damaged: it has no frame {idx}") from error
    request.check_size(image.width, image.height)
    decode_frame(image, f"frame {idx} of {request.name}")


def _from_folder(folder: Path, request: FrameRequest) -> list[Image.Image]:
    if request.start_s is not None or request.end_s is not None:
        raise SettingsError(f"start_s, end_s cannot be used for {request.name}: pictures in a folder have no time")
    pictures: list[Path] = []
    try:
        for path in folder.iterdir():
            if path.suffix.lower() in _PICTURES and not path.name.startswith("."):
                pictures.append(path)
                request.check_count(len(pictures))
    except OSError as error:
        raise ImageError(f"{request.name} cannot be read: {error.strerror or 'not a folder'}") from error
    pictures.sort(key=_natural_key)
    wanted = request.choose(len(pictures), 1.0)
    order = sorted(set(wanted))
    taken = dict(zip(order, _kept([pictures[idx] for idx in order], request), strict=True))
    return [taken[idx] for idx in wanted]


def _kept(sources: Sequence[str | Path], request: FrameRequest) -> list[Image.Image]:
    """Frames that are pictures of their own."""
    limits = ImageLimits(max_bytes=request.limits.max_bytes, max_pixels=request.limits.max_pixels)
    frames = []
    for source in sources:
        frame = load_image(source, request.as_viewed, limits=limits)
        request.check_size(frame.width, frame.height)
        frames.append(request.keep(frame))
    return frames


def _natural_key(path: Path) -> list[tuple[int, int, str]]:
    """frame2 before frame10."""
    pieces = re.split(r"(\d+)", path.name)
    return [(0, int(piece), "") if piece.isdecimal() else (1, 0, piece.lower()) for piece in pieces if piece]


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # a name that no file can have; opening it says so
        return False
