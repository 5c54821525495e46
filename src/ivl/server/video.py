"""Videos of a request: what one may cost.

In: the server's settings. Out: the session's limits for videos; an error for more frames than tiles. Knows no frames
and no files: the session reads them.
"""

from collections.abc import Sequence

from ivl.server.errors import ApiError
from ivl.server.settings import ServerSettings
from ivl.session import VideoLimits
from ivl.types import Message, VideoPart


def video_limits(messages: Sequence[Message], settings: ServerSettings) -> VideoLimits:
    """Of each video: its file comes in the body, its frames are bounded as pictures are, its length as everywhere."""
    return settings.video_limits(len(_videos(messages)))


def check_frames(messages: Sequence[Message], settings: ServerSettings) -> None:
    """Raise ApiError where more frames are asked for than tiles are allowed: each is one. Nothing is decoded yet."""
    total = sum(video.num_frames for video in _videos(messages))
    if total > settings.max_tiles:
        raise ApiError(
            400,
            f"the videos would be {total} frames of one tile each: at most {settings.max_tiles} tiles are read, so "
            'give video_url a smaller "num_frames"',
            code="too_many_tiles",
            param="messages",
        )


def _videos(messages: Sequence[Message]) -> list[VideoPart]:
    return [part for message in messages for part in message.parts if isinstance(part, VideoPart)]
