"""Scores, differences and lengths of answers as tables of the page.

In: figures and the subjects in their order. Out: HTML; empty where there is nothing to show.
"""

from collections.abc import Sequence

from ivl.evals.report_page import bar, difference_cell
from ivl.evals.report_words import (
    METRIC_WORDS,
    difference_text,
    inert,
    interval_text,
    score_text,
    signed_interval_text,
)
from ivl.tutorial.figures import Difference, Figures, SetFigures
from ivl.tutorial.plan import SUBJECTS


def tiles(food: Figures | None, general: Figures | None, subjects: Sequence[str]) -> str:
    """The story in a few numbers: what each adapter gained on foods, and on everything else."""
    found = []
    for title, figures in (("foods", food), ("everything else", general)):
        for subject in subjects[1:]:
            difference = figures.over_all(subject) if figures else None
            if difference is not None:
                mean = difference_text("choice", difference.score.mean)
                interval = signed_interval_text("choice", difference.score)
                found.append(
                    f"<div><span>{title}, {inert(SUBJECTS[subject])}</span>"
                    f'<b class="{difference.verdict}">{mean} points</b><small>{interval}</small></div>'
                )
    return f'<div class="tiles">{"".join(found)}</div>' if found else ""


def scores_table(figures: Figures, subjects: Sequence[str]) -> str:
    """Each set with each subject's score, its interval, and chance as a dashed line."""
    rows = [[_set_name(each), *(_score_cell(each, subject) for subject in subjects)] for each in figures.sets]
    return _table(["set", *(_title(subject, subjects) for subject in subjects)], rows)


def differences_table(figures: Figures, subjects: Sequence[str]) -> str:
    """What each gained over the first, by set and over all."""
    others = [subject for subject in subjects[1:] if any(subject in each.differences for each in figures.sets)]
    if not others:
        return ""
    reach = _reach(figures)
    rows = [
        [_set_name(each), *(_difference_cell(each, each.differences.get(subject), reach) for subject in others)]
        for each in figures.sets
    ]
    if figures.pooled:
        cells = [_difference_cell(None, figures.pooled.get(subject), reach) for subject in others]
        rows.append(["all together<small>each item counts once</small>", *cells])
    return _table(["set", *(_title(subject, subjects) for subject in others)], rows)


def lengths_table(sets: Sequence[SetFigures], subjects: Sequence[str]) -> str:
    """Of sets with open questions."""
    rows = [[_set_name(each), *(_length(each, subject) for subject in subjects)] for each in sets if each.lengths]
    return _table(["set", *(_title(subject, subjects) for subject in subjects)], rows) if rows else ""


def _set_name(each: SetFigures) -> str:
    return f"{inert(each.title, 120)}<small>{METRIC_WORDS[each.metric]} · n = {each.num_items:,}</small>"


def _title(subject: str, subjects: Sequence[str]) -> str:
    return f'<i class="subject-{list(subjects).index(subject)}"></i>{inert(SUBJECTS[subject])}'


def _score_cell(each: SetFigures, subject: str) -> str:
    score = each.scores.get(subject)
    if score is None:
        return "–"
    scale = 1.0 if each.metric != "cider" else max(1.0, *(other.high for other in each.scores.values()))
    return (
        f"<b>{score_text(each.metric, score.mean)}</b>{bar(score, 0, scale, each.chance)}"
        f"<small>{interval_text(each.metric, score)}</small>"
    )


def _difference_cell(each: SetFigures | None, difference: Difference | None, reach: float) -> str:
    if difference is None:
        return "–"
    return difference_cell(each.metric if each else "choice", difference.score, difference.verdict, reach)


def _reach(figures: Figures) -> float:
    """The end of the line that all differences are drawn on."""
    drawn = [each for row in figures.sets for each in row.differences.values()]
    return min(1.0, max(0.05, *(max(abs(each.score.low), abs(each.score.high)) for each in drawn)))


def _length(each: SetFigures, subject: str) -> str:
    if subject not in each.lengths:
        return "–"
    characters, share = each.lengths[subject]
    return f"{characters:.1f}<small>{100 * share:.0f}% sentences</small>"


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells are HTML already; the first of a row is its title."""
    head = "".join(f"<th>{title}</th>" for title in titles)
    body = "".join(f"<tr><th>{row[0]}</th>{''.join(f'<td>{cell}</td>' for cell in row[1:])}</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'
