"""Video files by PyAV (FFmpeg), opened so that nothing but the file itself can be read.

In: an open file. Out: chosen frames as RGB pictures. Knows no paths and no URLs.

FFmpeg's demuxers include playlists that open other files and sockets (HLS, DASH, concat, SDP), also when they
are read from a Python file. So: the container is recognised here by its first bytes and forced, FFmpeg probes
nothing; every attempt to open something else is refused; only a short list of decoders may run.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from PIL import Image

from ivl.errors import ImageError, MissingExtraError
from ivl.processing.frames import FrameRequest
from ivl.processing.headers import looks_like

# (offset, first bytes, FFmpeg's name of the container)
_CONTAINERS = (
    (4, b"ftyp", "mov"),
    (4, b"moov", "mov"),
    (4, b"mdat", "mov"),
    (4, b"wide", "mov"),
    (0, b"\x1aE\xdf\xa3", "matroska"),
    (8, b"AVI ", "avi"),
    (0, b"FLV\x01", "flv"),
    (0, b"\0\0\x01\xba", "mpeg"),
)
_DECODERS = (
    "h264", "hevc", "av1", "libdav1d", "vp8", "vp9", "libvpx", "libvpx-vp9",
    "mpeg4", "mpeg2video", "mpeg1video", "mjpeg",
)  # fmt: skip
_ALLOWED = "MP4, MOV, MKV, WebM, AVI, FLV, MPEG with H.264, H.265, AV1, VP8, VP9, MPEG-1/2/4, MJPEG"
_TURNS = {
    90: Image.Transpose.ROTATE_90,
    -90: Image.Transpose.ROTATE_270,
    180: Image.Transpose.ROTATE_180,
    -180: Image.Transpose.ROTATE_180,
}


def read_video(file: BinaryIO, request: FrameRequest) -> list[Image.Image]:
    """The frames of the first video stream that the request chooses.

    Raises ImageError for what is no video of an allowed kind, damaged or above a limit, MissingExtraError
    without PyAV.
    """
    kind, av = check_video(file, request)
    reader = _Reader(av=av, file=file, kind=kind, request=request)
    try:
        frames = reader.read()
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError(f"{request.name} cannot be decoded: its frames need too much memory") from error
    except Exception as error:  # FFmpeg's errors are many, and PyAV adds Python's
        raise ImageError(f"{request.name} cannot be decoded: it is cut off or damaged") from error
    return frames


def check_video(file: BinaryIO, request: FrameRequest) -> tuple[str, Any]:
    """FFmpeg's name of a video file's container by its first bytes, and PyAV. Errors as `read_video`."""
    head = file.read(4096)
    kind = _container(head)
    if kind is None:
        raise ImageError(f"{request.name} is no readable video: {looks_like(head)}; allowed: {_ALLOWED}")
    return kind, _import_av()


@dataclass(frozen=True)
class _Index:
    """What a pass over the packets tells, without decoding: times in units of the stream."""

    times: list[int]
    """Presentation time of each frame, ascending; empty if the container does not tell them all."""
    key_times: list[int]
    """Those of frames from which decoding can start."""
    num_frames: int
    fps: float


@dataclass(frozen=True, kw_only=True)
class _Reader:
    av: Any
    file: BinaryIO
    kind: str
    request: FrameRequest

    def read(self) -> list[Image.Image]:
        index = self._scan()
        wanted = self.request.choose(index.num_frames, index.fps)
        taken = self._seek_frames(index, wanted) if index.times else None
        if taken is None:
            taken = self._count_frames(wanted)
        return [taken[idx] for idx in wanted]

    def _open(self) -> Any:
        def refuse(url: str, flags: int, options: dict[str, str]) -> None:
            raise PermissionError("a video may not open other files")

        self.file.seek(0)
        options = {
            "format_whitelist": self.kind,
            "protocol_whitelist": "none",
            "codec_whitelist": ",".join(_DECODERS),
        }
        return self.av.open(self.file, "r", format=self.kind, container_options=options, io_open=refuse)

    def _stream(self, container: Any) -> Any:
        stream = container.streams.best("video")
        name = self.request.name
        if stream is None:
            raise ImageError(f"{name} has no video in it")
        context = stream.codec_context
        if context is None or context.codec.name not in _DECODERS:
            codec = "unknown" if context is None else context.codec.name
            raise ImageError(f"{name} has video of codec {codec!r}: allowed: {_ALLOWED}")
        self.request.check_size(context.width, context.height)
        context.options = {"max_pixels": str(self.request.limits.max_pixels)}
        return stream

    def _scan(self) -> _Index:
        """Count the frames and read their times, up to the limits."""
        limits, times, key_times = self.request.limits, [], []
        num_frames, all_timed = 0, True
        with self._open() as container:
            stream = self._stream(container)
            duration_s = (container.duration or 0) / self.av.time_base
            if duration_s > limits.max_duration_s:
                raise ImageError(
                    f"{self.request.name} has {duration_s:.0f} seconds: more than "
                    f"max_duration_s={limits.max_duration_s}"
                )
            for packet in container.demux(stream):
                if not packet.size or getattr(packet, "is_discard", False):
                    continue
                num_frames += 1
                self.request.check_count(num_frames)
                if packet.pts is None:
                    all_timed = False
                    continue
                times.append(packet.pts)
                if packet.is_keyframe:
                    key_times.append(packet.pts)
            fps = float(stream.average_rate or 0) or (num_frames / duration_s if duration_s > 0 else 1.0)
        all_timed = all_timed and len(set(times)) == num_frames and bool(key_times)
        return _Index(sorted(times) if all_timed else [], sorted(key_times), num_frames, fps)

    def _seek_frames(self, index: _Index, wanted: list[int]) -> dict[int, Image.Image] | None:
        """Decode from the keyframe before each wanted frame; None if the container cannot seek exactly."""
        taken: dict[int, Image.Image] = {}
        with self._open() as container:
            stream = self._stream(container)
            frames, reached = self._decode(container, stream), index.times[0]
            for idx in sorted(set(wanted)):
                time = index.times[idx]
                key = index.key_times[max(0, bisect_right(index.key_times, time) - 1)]
                if key > reached:
                    container.seek(key, stream=stream, backward=True)
                    frames = self._decode(container, stream)
                frame = next((frame for frame in frames if frame.pts is None or frame.pts >= time), None)
                if frame is None or frame.pts != time:
                    return None
                taken[idx], reached = self._to_rgb(frame), time
        return taken

    def _count_frames(self, wanted: list[int]) -> dict[int, Image.Image]:
        """Decode from the start and count."""
        taken: dict[int, Image.Image] = {}
        with self._open() as container:
            for idx, frame in enumerate(self._decode(container, self._stream(container))):
                if idx in wanted:
                    taken[idx] = self._to_rgb(frame)
                if idx == wanted[-1]:
                    return taken
        raise ImageError(f"{self.request.name} is cut off or damaged: frame {wanted[-1]} cannot be decoded")

    def _decode(self, container: Any, stream: Any) -> Iterator[Any]:
        decoded = 0
        for frame in container.decode(stream):
            self.request.check_size(frame.width, frame.height)
            decoded += frame.width * frame.height
            if decoded > self.request.limits.max_decoded_pixels:
                raise ImageError(
                    f"{self.request.name} takes too long: more than "
                    f"max_decoded_pixels={self.request.limits.max_decoded_pixels} would be decoded"
                )
            yield frame

    def _to_rgb(self, frame: Any) -> Image.Image:
        image: Image.Image = frame.to_image()
        turn = _TURNS.get(round(frame.rotation)) if self.request.as_viewed else None
        return self.request.keep(image if turn is None else image.transpose(turn))


def _container(head: bytes) -> str | None:
    for offset, signature, name in _CONTAINERS:
        if head[offset : offset + len(signature)] == signature:
            return name
    # MPEG transport stream: packets of 188 bytes that begin alike
    return "mpegts" if len(head) > 376 and head[0] == head[188] == head[376] == 0x47 else None


def _import_av() -> Any:
    try:
        import av
    except ImportError as error:
        raise MissingExtraError("video files need PyAV: pip install 'ivl[video]'") from error
    return av
