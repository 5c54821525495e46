"""A conversation as the browser draws it: plain values, no markup.

In: a Visitor. Out: what goes into the view as JSON. Knows no Gradio.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ivl.ui.boxes import read_places
from ivl.ui.models import Counts
from ivl.ui.visitors import Turn, Visitor


def told(visitor: Visitor | None, *, taken: int = 0, error: str = "") -> dict[str, Any]:
    """The whole view. taken: the number of the browser's last question that was taken up."""
    turns = visitor.turns if visitor else []
    return {
        "turns": [_turn(turns, index) for index in range(len(turns))],
        "busy": visitor is not None and visitor.running is not None,
        "taken": taken,
        "error": error,
    }


def _turn(turns: Sequence[Turn], index: int) -> dict[str, Any]:
    turn = turns[index]
    plain, places = read_places(turn.answer)
    shown = any(not picture.is_video for each in turns[: index + 1] for picture in each.pictures)
    return {
        "text": turn.text,
        "pictures": [picture.shown for picture in turn.pictures if not picture.is_video],
        "videos": [picture.shown for picture in turn.pictures if picture.is_video],
        "answer": plain,
        "name": turn.name,
        "places": [vars(place) for place in places] if shown else [],
        # An answer names no picture: it means the last one it was shown.
        "counts": _counts(turn.counts),
        "settings": {"temperature": turn.generation.temperature, "top_p": turn.generation.top_p},
    }


def _counts(counts: Counts | None) -> dict[str, Any] | None:
    if counts is None:
        return None
    rest = counts.total_s - counts.first_s
    return {
        "prompt": counts.prompt_tokens,
        "answer": counts.answer_tokens,
        "finish": counts.finish_reason,
        "first": round(counts.first_s, 2),
        "total": round(counts.total_s, 2),
        "rate": round((counts.answer_tokens - 1) / rest, 1) if counts.answer_tokens > 1 and rest > 0 else None,
        "tiles": counts.tiles,
    }
