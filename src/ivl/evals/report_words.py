"""Scores, counts and strangers' texts as reports write them.

In: numbers, and texts of models and data sets. Out: texts; those for a page are inert. Knows no layout.
"""

import re
from collections.abc import Sequence
from html import escape

from ivl.evals.item import Metric, Score
from ivl.evals.style import Manner

HOW_SURE = (
    "For the intervals, questions about the same picture are drawn together, because they are alike. Answers that "
    "could not be read, and items that could not be answered, count as wrong."
)
"""What a report says of its intervals and of what counts."""
LONGEST_TEXT = 1500
"""Characters of a question or an answer that are shown."""
# Control characters that HTML cannot hold, those that turn the direction of text, and halves of surrogate pairs.
_UNFIT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
METRIC_WORDS: dict[Metric, str] = {
    "choice": "right letters",
    "exact": "exact matches",
    "vqa": "VQA accuracy",
    "anls": "ANLS",
    "relaxed": "relaxed accuracy",
    "cider": "CIDEr",
    "iou": "boxes at IoU 0.5",
    "contains": "right names",
}


def clean(text: str) -> str:
    """A text without what steers a terminal, turns its direction or is no character."""
    return _UNFIT.sub("\N{REPLACEMENT CHARACTER}", text)


def inert(value: object, most: int = LONGEST_TEXT) -> str:
    """A text as a page may hold it: no markup, whole characters only, not without end."""
    text = clean(str(value))
    rest = len(text) - most
    return escape(text[:most] + (f" … ({counted(rest, 'more character')})" if rest > 0 else ""))


def in_table(value: object, most: int = 200) -> str:
    """A text as a cell of a Markdown table may hold it: one line, no markup of Markdown or HTML."""
    text = " ".join(clean(str(value)).split())
    text = text if len(text) <= most else text[: most - 1] + "…"
    return re.sub(r"([\\|`*_\[\]<>#~])", r"\\\1", text)


def score_text(metric: Metric, value: float) -> str:
    """87.5%; of CIDEr, which is no share, 0.88."""
    return f"{value:.2f}" if metric == "cider" else f"{100 * value:.1f}%"


def interval_text(metric: Metric, score: Score) -> str:
    """84.1 to 90.2; signs, where a side is negative, are of full width."""
    digits, factor = (2, 1) if metric == "cider" else (1, 100)
    return f"{factor * score.low:.{digits}f} to {factor * score.high:.{digits}f}".replace("-", "−")


def difference_text(metric: Metric, value: float) -> str:
    """+3.2 points; of CIDEr +0.12."""
    digits, factor = (2, 1) if metric == "cider" else (1, 100)
    rounded = round(factor * value, digits) + 0.0  # no minus before a zero
    return f"{rounded:+.{digits}f}".replace("-", "−")


def signed_interval_text(metric: Metric, score: Score) -> str:
    """−1.0 to +4.2."""
    return f"{difference_text(metric, score.low)} to {difference_text(metric, score.high)}"


def counted(num: int, noun: str) -> str:
    """1 item, 2,000 items."""
    return f"{num:,} {noun}{'s' * (num != 1)}"


def duration(seconds: float) -> str:
    """0:07, 12:34, 1:02:03."""
    whole = max(0, round(seconds))
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def manner_rows(manners: Sequence[Manner | None]) -> list[tuple[str, ...]]:
    """Two rows of a table, a column for each subject; none where no subject has a manner."""
    if not any(manners):
        return []
    lengths = (f"{each.mean_characters:.1f}" if each else "–" for each in manners)
    shares = (f"{100 * each.style_score:.1f}%" if each else "–" for each in manners)
    return [("characters an answer", *lengths), ("answers that are sentences", *shares)]
