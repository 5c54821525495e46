"""The story as one HTML page: no script, nothing from elsewhere, light and dark, for a phone as for a desk.

In: a `Tale`. Out: the page's text. Every text that comes from a model, a data set or a command goes through `inert`,
and a content security policy forbids scripts on top of that.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from ivl.data.thumbnail import thumbnail
from ivl.errors import ImageError
from ivl.evals.report_words import counted, duration, inert
from ivl.train.curves import smooth
from ivl.train.metrics import History
from ivl.train.report_chart import Curve, draw_chart
from ivl.tutorial.figures import Figures, Said
from ivl.tutorial.page_steps import steps_section
from ivl.tutorial.page_style import STYLE
from ivl.tutorial.page_tables import differences_table, lengths_table, scores_table, tiles
from ivl.tutorial.plan import NO_GENERAL, SUBJECTS
from ivl.tutorial.record import Record
from ivl.tutorial.step import Story

PICTURE_SIDE = 320
LONGEST_ANSWER = 600
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_LOOKS = ("main", "second", "third")
_QUICK = "A quick run: it shows that every step works. Its figures mean nothing."
_FEW = (
    "Here and below: with so few items intervals are wide. A difference is coloured only where its whole 95% interval "
    "is on one side of zero. It is paired, item by item, and sees more than two scores side by side."
)


@dataclass(frozen=True, kw_only=True)
class Tale:
    """All that the page shows."""

    story: Story
    record: Record
    chats: Sequence[Said]
    runs: Mapping[str, History]
    food: Figures | None
    general: Figures | None


def render_page(tale: Tale) -> str:
    """The whole page."""
    parts = [
        _head(tale),
        _section("", tiles(tale.food, tale.general, list(tale.story.subjects))),
        _section("The same questions, before and after", _chats(tale)),
        _section("What it learnt", _learnt(tale)),
        _section("What it forgot", _forgot(tale)),
        _section("How it answers", _manner(tale)),
        _section("How it learnt", _curves(tale)),
        _section("Steps and commands", steps_section(tale.story, tale.record)),
    ]
    return "\n".join(part for part in parts if part) + "\n</main></body></html>\n"


def _head(tale: Tale) -> str:
    record, story = tale.record, tale.story
    seconds = sum(record.seconds(step.name) for step in story.steps)
    model = story.model or "the small model in the package"
    about = f"{record.begun} · {record.machine} · {duration(seconds)} so far"
    if record.seconds(story.steps[-2].name) or story.steps[-2].left_out:
        about = about.removesuffix(" so far")
    warnings = [_QUICK] if record.is_quick else []
    warnings += [f"Stopped. {record.failure}"] if record.failure else []
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">'
        f"<title>The tutorial: before and after</title><style>{STYLE}</style></head>\n"
        f"<body><main><header><h1>Teaching a model foods</h1><p>{inert(model, 300)}</p><p>{inert(about, 300)}</p>"
        + "".join(f'<p class="warning">{inert(line, 600)}</p>' for line in warnings)
        + "</header>"
    )


def _section(title: str, content: str) -> str:
    heading = f"<h2>{title}</h2>" if title else ""
    return f"<section>{heading}{content}</section>" if content else ""


def _chats(tale: Tale) -> str:
    if not any(said.answers for said in tale.chats):
        return ""
    cards = []
    for picture, said in groupby(tale.chats, key=lambda each: each.question.picture):
        cards.append(f"<article>{_picture(picture)}<div>{''.join(_said(each) for each in said)}</div></article>")
    note = "<p>Drawings in styles that training never saw.</p>"
    return f'{note}<div class="cards">{"".join(cards)}</div>'


def _picture(path: Path) -> str:
    try:
        data = base64.b64encode(thumbnail(path, PICTURE_SIDE)).decode()
    except ImageError as error:
        return f'<div class="pictures"><span class="nopicture">{inert(error, 200)}</span></div>'
    name = inert(f"{path.parent.name}/{path.stem}", 120)
    return (
        f'<div class="pictures"><span class="frame"><img alt="{name}" src="data:image/jpeg;base64,{data}"></span>'
        f'<p class="id">{name}</p></div>'
    )


def _said(said: Said) -> str:
    expected = f'<p class="expected"><span>it is</span> {inert(said.expected, 120)}</p>' if said.expected else ""
    answers = "".join(
        f'<dt class="subject-{number}">{inert(SUBJECTS[subject])}</dt>{_answer(*said.answers[subject])}'
        for number, subject in enumerate(SUBJECTS)
        if subject in said.answers
    )
    return f'<p class="question" dir="auto">{inert(said.question.text, 300)}</p>{expected}<dl>{answers}</dl>'


def _answer(text: str, is_right: bool | None) -> str:
    word = "right" if is_right else "wrong"
    badge = "" if is_right is None else f'<span class="badge {word}">{word}</span> '
    return f'<dd dir="auto">{badge}{inert(text, LONGEST_ANSWER) or "<i>nothing</i>"}</dd>'


def _measured(tale: Tale, figures: Figures | None) -> str:
    if figures is None:
        return ""
    subjects = list(tale.story.subjects)
    gained = differences_table(figures, subjects)
    return scores_table(figures, subjects) + (f"<h3>Gained or lost, in points</h3>{gained}" if gained else "")


def _learnt(tale: Tale) -> str:
    measured = _measured(tale, tale.food)
    return f'{measured}<p class="quiet under">{_FEW}</p>' if measured else ""


def _forgot(tale: Tale) -> str:
    if tale.story.general_results is None:
        return f'<p class="warning">Left out: {NO_GENERAL}.</p>'
    return _measured(tale, tale.general)


def _manner(tale: Tale) -> str:
    """A model that is trained on short answers grows terse with everything."""
    sets = [each for figures in (tale.food, tale.general) if figures for each in figures.sets]
    table = lengths_table(sets, list(tale.story.subjects))
    note = (
        "<p>A model that learns short answers can grow terse with everything. Characters an answer to open questions, "
        "and the share of answers that are sentences:</p>"
    )
    return note + table if table else ""


def _curves(tale: Tale) -> str:
    figures, lines = [], []
    for number, (subject, history) in enumerate(tale.runs.items()):
        loss = history.curve("loss")
        if not loss:
            continue
        look = _LOOKS[number % len(_LOOKS)]
        course = smooth(loss)
        curves = [Curve(points=loss, look="faint"), Curve(points=course, look=look)]  # type: ignore[arg-type]
        chart = draw_chart(f"Loss, {SUBJECTS[subject]}", curves)
        figures.append(f"<figure><figcaption>Loss: {inert(SUBJECTS[subject])}</figcaption>{chart}</figure>")
        samples, seconds = (sum(value for _, value in history.curve(name)) for name in ("num_samples", "seconds"))
        words = f"{counted(history.last_step, 'step')}, {counted(int(samples), 'sample')}, {duration(seconds)} in steps"
        lines.append(f"<li>{inert(SUBJECTS[subject])}: {words}; loss {course[0][1]:.3g} to {course[-1][1]:.3g}</li>")
    return f'<div class="charts">{"".join(figures)}</div><ul>{"".join(lines)}</ul>' if figures else ""
