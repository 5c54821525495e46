"""Two answers side by side as HTML, with a table of their tokens and times.

In: `Side`s as they grow, and the page's words. Out: HTML; whatever a model or a visitor wrote is escaped. Knows no
Gradio and no engine.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from ivl.ui.models import Counts
from ivl.ui.words import Words

# A word with the space behind it; a Chinese character is a word.
_WORD = re.compile(r"[\u3400-\u9fff]|[^\s\u3400-\u9fff]+\s*|\s+")
_MOST_WORDS = 1200
"""Words of an answer in which differences are looked for; the time grows with their square."""


@dataclass(kw_only=True)
class Side:
    """One of the two answers."""

    name: str
    text: str = ""
    counts: Counts | None = None
    error: str = ""

    @property
    def is_done(self) -> bool:
        """Whether nothing more comes."""
        return bool(self.counts or self.error)


def head(title: str, lead: str) -> str:
    """The tab's heading."""
    return f'<div class="ivl-compare-intro"><h2>{escape(title)}</h2><p>{escape(lead)}</p></div>'


def view(sides: Sequence[Side], words: Words, language: str) -> str:
    """Both answers, what differs in them once they are whole, and the table."""
    if not sides:
        return f'<p class="ivl-compare-empty">{escape(words.text("compare.empty", language))}</p>'
    texts = _marked(sides[0].text, sides[1].text) if all(side.is_done for side in sides) else None
    shown = [texts[idx] if texts else escape(side.text) for idx, side in enumerate(sides)]
    boxes = "".join(_box(side, text, words, language) for side, text in zip(sides, shown, strict=True))
    return (
        f'<div class="ivl-compare-sides">{boxes}</div>'
        f'<p class="ivl-compare-status" role="status">{escape(_told(sides, words, language))}</p>'
        f"{_table(sides, words, language)}"
    )


def _box(side: Side, text: str, words: Words, language: str) -> str:
    live = "" if side.is_done else " ivl-compare-live"
    body = f'<div class="ivl-compare-text{live}" aria-busy="{str(not side.is_done).lower()}">{text}</div>'
    if side.error:
        body += f'<p class="ivl-error">{escape(side.error)}</p>'
    if side.counts and side.counts.finish_reason != "stop":
        ended = "stopped" if side.counts.finish_reason == "abort" else "cut"
        body += f'<p class="ivl-compare-ended">{escape(words.text(f"compare.{ended}", language))}</p>'
    return f'<section class="ivl-compare-side"><h3>{escape(side.name)}</h3>{body}</section>'


def _told(sides: Sequence[Side], words: Words, language: str) -> str:
    """What a screen reader hears: nothing while the answers grow."""
    if not all(side.is_done for side in sides):
        return ""
    whole = all(side.counts is not None and side.counts.finish_reason != "abort" for side in sides)
    same = whole and sides[0].text.strip() == sides[1].text.strip()
    return words.text("compare.same" if same else "compare.done" if whole else "compare.ended", language)


def _table(sides: Sequence[Side], words: Words, language: str) -> str:
    """Tokens and time of each; empty until one has ended."""
    if not any(side.counts for side in sides):
        return ""
    rows = (
        ("answer_tokens", [f"{c.answer_tokens:,}" if c else "" for c in (side.counts for side in sides)]),
        ("prompt_tokens", [f"{c.prompt_tokens:,}" if c else "" for c in (side.counts for side in sides)]),
        ("tiles", [f"{c.tiles:,}" if c else "" for c in (side.counts for side in sides)]),
        ("first", [f"{c.first_s:.2f} s" if c and c.answer_tokens else "" for c in (side.counts for side in sides)]),
        ("total", [f"{c.total_s:.2f} s" if c else "" for c in (side.counts for side in sides)]),
        ("rate", [_rate(side.counts) for side in sides]),
    )
    heads = "".join(f'<th scope="col">{escape(side.name)}</th>' for side in sides)
    body = "".join(
        f'<tr><th scope="row">{escape(words.text(f"compare.{key}", language))}</th>'
        f"{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
        for key, cells in rows
    )
    caption = escape(words.text("compare.caption", language))
    corner = escape(words.text("compare.corner", language))
    return (
        f'<div class="ivl-compare-wide"><table><caption>{caption}</caption>'
        f'<thead><tr><th scope="col">{corner}</th>{heads}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _rate(counts: Counts | None) -> str:
    """Tokens a second behind the first one."""
    if counts is None or counts.answer_tokens < 2 or counts.total_s <= counts.first_s:
        return ""
    return f"{(counts.answer_tokens - 1) / (counts.total_s - counts.first_s):.1f}"


def _marked(left: str, right: str) -> tuple[str, str] | None:
    """Both texts as HTML, with marks around what the other one has not; None where they have little in common."""
    words = [_WORD.findall(text) for text in (left, right)]
    if not all(0 < len(each) <= _MOST_WORDS for each in words) or left == right:
        return None
    bare = [[word.strip() for word in each] for each in words]
    matcher = difflib.SequenceMatcher(None, bare[0], bare[1], autojunk=False)
    if matcher.ratio() < 0.3:
        return None
    sides: tuple[list[str], list[str]] = ([], [])
    for kind, a, b, c, d in matcher.get_opcodes():
        for side, piece in zip(sides, ("".join(words[0][a:b]), "".join(words[1][c:d])), strict=True):
            own = kind != "equal" and piece.strip()
            side.append(f"<mark>{escape(piece)}</mark>" if own else escape(piece))
    return "".join(sides[0]), "".join(sides[1])
