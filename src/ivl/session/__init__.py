"""Text in, text out: prompts become tokens, the engine continues them, tokens become text again."""

from ivl.session.pipeline import Pipeline, pipeline
from ivl.session.session import Session

__all__ = ["Pipeline", "Session", "pipeline"]
