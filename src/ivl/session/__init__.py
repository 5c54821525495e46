"""Text in, text out: prompts become tokens, the engine continues them, tokens become text again."""

from ivl.processing.fetch import FetchPolicy
from ivl.processing.images import ImageLimits
from ivl.processing.video import VideoLimits
from ivl.session.answer import AnswerStream
from ivl.session.pipeline import Pipeline, pipeline
from ivl.session.prompts import count_tiles
from ivl.session.session import Session

__all__ = [
    "AnswerStream",
    "FetchPolicy",
    "ImageLimits",
    "Pipeline",
    "Session",
    "VideoLimits",
    "count_tiles",
    "pipeline",
]
