"""Which frames of a video are taken, and how much of one is read at most.

In: the number of frames, frames a second, and what was asked for. Out: indices, and each frame as it is kept. Knows no
files.
"""

from dataclasses import dataclass

from PIL import Image

from ivl.errors import ImageError, SettingsError

MOST_FRAMES = 512
"""Frames that are taken from one video."""


@dataclass(frozen=True, kw_only=True)
class VideoLimits:
    """What a video may be at most. Frames, sizes and seconds are checked before anything is decoded."""

    max_bytes: int = 64 * 2**20
    """Bytes of a moving picture (GIF, WebP, PNG); a video file is read piece by piece and may be larger."""
    max_frames: int = 9000
    """Frames of the whole video: five minutes at 30 a second."""
    max_duration_s: float = 3600.0
    """Seconds of the whole video."""
    max_pixels: int = 7680 * 4320
    """Width times height of a frame."""
    max_kept_pixels: int = 600_000_000
    """Pixels of all frames taken together; four bytes each."""
    max_decoded_pixels: int = 20_000_000_000
    """Pixels of all frames decoded on the way to those that are taken: some minutes of work."""

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < 2**63:
                raise SettingsError(f"{name}={value!r} is not allowed: a number above 0")


@dataclass(frozen=True, kw_only=True)
class FrameRequest:
    """What was asked for, of which video."""

    name: str
    """How messages call the video."""
    num_frames: int
    start_s: float | None
    end_s: float | None
    as_viewed: bool
    limits: VideoLimits
    tile_size: int | None = None
    """Frames are kept as tiles of this side, which is all that a model sees of them; None: as they are."""

    def __post_init__(self) -> None:
        count = self.num_frames
        if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= MOST_FRAMES:
            raise SettingsError(f"num_frames={count!r} is not allowed: a whole number of 1 to {MOST_FRAMES}")
        start, end = self.start_s or 0.0, self.end_s if self.end_s is not None else float("inf")
        if not 0 <= start < end:  # false for NaN too
            raise SettingsError(
                f"start_s={self.start_s!r}, end_s={self.end_s!r}: seconds, 0 <= start_s < end_s, are allowed"
            )

    def choose(self, num_available: int, fps: float) -> list[int]:
        """Indices of the frames to take, ascending. Raises ImageError when there are too many or none."""
        self.check_count(num_available)
        if num_available < 1:
            raise ImageError(f"{self.name} has no frames")
        return sample_indices(num_available, self.num_frames, fps, self.start_s, self.end_s)

    def check_count(self, num_available: int) -> None:
        """Raise ImageError when a video has more frames than the limit."""
        if num_available > self.limits.max_frames:
            raise ImageError(
                f"{self.name} has more than max_frames={self.limits.max_frames} frames: "
                "cut it, or allow more with VideoLimits(max_frames=...)"
            )

    def check_size(self, width: int, height: int) -> None:
        """Raise ImageError when frames of this size in pixels are too large, one or all together."""
        if width < 1 or height < 1 or width * height > self.limits.max_pixels:
            raise ImageError(
                f"{self.name} has frames of {width} by {height} pixels: "
                f"1 to max_pixels={self.limits.max_pixels} are allowed"
            )
        kept = width * height if self.tile_size is None else self.tile_size**2
        if self.num_frames * kept > self.limits.max_kept_pixels:
            raise ImageError(
                f"{self.name}: {self.num_frames} frames of {width} by {height} pixels are more than "
                f"max_kept_pixels={self.limits.max_kept_pixels}: take fewer"
            )

    def keep(self, image: Image.Image) -> Image.Image:
        """A taken frame as it is kept; a tile has the pixels that `split_tiles` gives with max_tiles=1."""
        if self.tile_size is None:
            return image
        return image.resize((self.tile_size, self.tile_size), Image.Resampling.BICUBIC)


def sample_indices(
    num_available: int,
    num_frames: int,
    fps: float,
    start_s: float | None = None,
    end_s: float | None = None,
) -> list[int]:
    """The middle of each of num_frames equal parts of the clip, as indices of frames.

    Where the clip has fewer frames than are asked for, some come twice. Source: `get_index` of the official
    InternVL2 examples. Raises ImageError for a clip that starts after the end.
    """
    last = num_available - 1
    first = 0 if start_s is None else max(0, round(start_s * fps))
    final = last if end_s is None else min(round(end_s * fps), last)
    if first > final:
        raise ImageError(f"start_s={start_s} is after the end: the video has {num_available / fps:.2f} seconds")
    part = (final - first) / num_frames
    return [int(first + part / 2 + round(part * idx)) for idx in range(num_frames)]
