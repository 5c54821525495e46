"""An evaluation as one HTML page: no script, nothing from elsewhere, light and dark, for a phone as for a desk.

In: a `Report`. Out: the page's text, of a bounded size. Every text that comes from a model, a data set or a command
goes through `inert`, and a content security policy forbids scripts on top of that.
"""

from collections.abc import Iterable, Sequence

from ivl.evals.item import EvalSet, Metric, Score, SetResult
from ivl.evals.report_cards import VERDICTS, Case, PictureBudget, choose, make_cases, render_case
from ivl.evals.report_data import Difference, Report, chance, failures, manner_of
from ivl.evals.report_style import STYLE
from ivl.evals.report_words import (
    HOW_SURE,
    METRIC_WORDS,
    counted,
    difference_text,
    duration,
    inert,
    interval_text,
    manner_rows,
    score_text,
    signed_interval_text,
)

MOST_MISTAKES = 40
"""Of one set."""
MOST_RIGHT = 12
MOST_CARDS = 320
"""Of the whole page; with many sets each shows fewer."""
MOST_PICTURE_BYTES = 3 * 2**20
"""Of all pictures together, before they become a third longer as text."""
MOST_FAULTS = 50
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def render_page(report: Report) -> str:
    """The whole page."""
    pictures = PictureBudget(MOST_PICTURE_BYTES)
    parts = [
        _head(report),
        _section("Scores", _scores(report)),
        _section("Differences", _differences(report)),
        *(_set(report, number, each, pictures) for number, each in enumerate(report.results.sets)),
        _left_out(pictures),
        _section("How it was run", _circumstances(report)),
    ]
    return "\n".join(part for part in parts if part) + "\n</main></body></html>\n"


def bar(score: Score, low: float, high: float, marker: float | None, look: str = "") -> str:
    """An interval and its mean on the line from `low` to `high`; marker: another value to compare with."""

    def x(value: float) -> float:
        return round(100 * (min(max(value, low), high) - low) / (high - low), 2)

    place = f'<line class="{"zero" if look else "chance"}" x1="{{0}}" x2="{{0}}" y1="0" y2="12"/>'
    width = max(x(score.high) - x(score.low), 0.6)
    return (
        f'<svg class="bar {look}" viewBox="0 0 100 12" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="track" x="0" y="4" width="100" height="4" rx="1"/>'
        f'<rect class="range" x="{x(score.low)}" y="2" width="{width:.2f}" height="8"/>'
        f'<rect class="mean" x="{max(x(score.mean) - 0.6, 0):.2f}" y="1" width="1.2" height="10"/>'
        + (place.format(x(marker)) if marker is not None else "")
        + "</svg>"
    )


def difference_cell(metric: Metric, score: Score, verdict: str, reach: float) -> str:
    """A difference with its bar, from -reach to reach, and its interval; the verdict is its look."""
    return (
        f'<b class="{verdict}">{difference_text(metric, score.mean)}</b>{bar(score, -reach, reach, 0, verdict)}'
        f"<small>{signed_interval_text(metric, score)}</small>"
    )


def _head(report: Report) -> str:
    results = report.results
    num_items = sum(len(each.items) for each in results.sets)
    names = ", ".join(subject.name for subject in results.subjects)
    how = "the likelihood of the letters" if results.scoring == "likelihood" else "free answers"
    counts = f"{counted(len(results.sets), 'set')}, {counted(num_items, 'item')}, scored by {how}"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">'
        f"<title>Evaluation: {inert(names, 120)}</title><style>{STYLE}</style></head>\n"
        f"<body><main><header><h1>Evaluation</h1><p>{inert(names, 600)}</p><p>{counts}</p></header>"
    )


def _section(title: str, content: str) -> str:
    return f"<section><h2>{title}</h2>{content}</section>" if content else ""


def _scores(report: Report) -> str:
    results = report.results
    rows = []
    for number, eval_set in enumerate(results.sets):
        cells = [_score_cell(eval_set, results.result(eval_set.name, each.name)) for each in results.subjects]
        rows.append([_set_name(number, eval_set), *cells])
    note = (
        '<p class="quiet under">Under each score is its 95% interval, drawn above it. A dashed line is chance. '
        f"{HOW_SURE}</p>"
    )
    return _table(["set", *_subject_titles(report)], rows) + note


def _set_name(number: int, eval_set: EvalSet) -> str:
    about = f"{eval_set.name} · {METRIC_WORDS[eval_set.metric]} · n = {len(eval_set.items):,}"
    return f'<a href="#set-{number}">{inert(eval_set.title, 120)}</a><small>{inert(about, 200)}</small>'


def _subject_titles(report: Report) -> list[str]:
    names = enumerate(report.results.subjects)
    return [f'<i class="subject-{number % 6}"></i>{inert(each.name, 80)}' for number, each in names]


def _score_cell(eval_set: EvalSet, result: SetResult) -> str:
    metric, score = eval_set.metric, result.scores[result.best_prompt]
    scale = 1.0 if metric != "cider" else max(1.0, *(each.high for each in result.scores))
    counts = ((result.num_unparsed, "answer", "not readable"), (result.num_failed, "item", "not answered"))
    flags = [f'<small class="flag">{counted(num, noun)} {words}</small>' for num, noun, words in counts if num]
    n = "" if score.n == len(eval_set.items) else f"<small>n = {score.n:,}</small>"
    return (
        f"<b>{score_text(metric, score.mean)}</b>{bar(score, 0, scale, chance(eval_set))}"
        f"<small>{interval_text(metric, score)}</small>{n}{''.join(flags)}"
    )


def _differences(report: Report) -> str:
    results = report.results
    if not report.differences:
        return ""
    first, *others = results.subjects
    rows, reach = [], _reach(report)
    for number, eval_set in enumerate(results.sets):
        cells = [_difference_cell(eval_set, report.difference(eval_set.name, each.name), reach) for each in others]
        rows.append([_set_name(number, eval_set), *cells])
    pooled = [report.difference("", each.name) for each in others]
    if any(pooled):
        cells = [_difference_cell(None, each, reach) for each in pooled]
        rows.append(["all sets together<small>each item counts once</small>", *cells])
    note = (
        f"<p>Points gained or lost against <b>{inert(first.name, 80)}</b>, item by item on the same items; coloured "
        "where the whole 95% interval is on one side of zero.</p>"
    )
    return note + _table(["set", *_subject_titles(report)[1:]], rows)


def _reach(report: Report) -> float:
    """The end of the line that all differences are drawn on, so that their bars can be compared."""
    return min(0.5, max(0.05, *(max(abs(each.score.low), abs(each.score.high)) for each in report.differences)))


def _difference_cell(eval_set: EvalSet | None, difference: Difference | None, reach: float) -> str:
    if difference is None:
        return "–"
    metric = eval_set.metric if eval_set else "choice"
    return difference_cell(metric, difference.score, difference.verdict, reach) + _lengths(difference)


def _lengths(difference: Difference) -> str:
    """Told where answers became half or twice as long: fine-tuning on short answers makes a model terse everywhere."""
    lengths = difference.lengths
    if lengths is None or 0.5 < lengths.ratio < 2:
        return ""
    before, after = lengths.characters_before, lengths.characters_after
    return f'<small class="flag">answers of {before:.1f} characters became {after:.1f}</small>'


def _set(report: Report, number: int, eval_set: EvalSet, pictures: PictureBudget) -> str:
    results = [report.results.result(eval_set.name, each.name) for each in report.results.subjects]
    cases = make_cases(eval_set, results)
    licence = f'<p class="warning">{inert(eval_set.licence, 600)}</p>' if eval_set.licence else ""
    return (
        f'<section id="set-{number}"><h2>{inert(eval_set.title, 200)} <small>{inert(eval_set.name, 120)}</small></h2>'
        f"{licence}{_mistakes(report, eval_set, cases, pictures)}{_slices(report, eval_set)}"
        f"{_prompts(report, eval_set)}{_list(failures(report, eval_set), 'item', 'could not be answered')}"
        f"{_list(eval_set.faults, 'record', 'of this set cannot be asked')}</section>"
    )


def _mistakes(report: Report, eval_set: EvalSet, cases: Sequence[Case], pictures: PictureBudget) -> str:
    """Wrong ones in a grid, right ones folded."""
    room = MOST_CARDS // max(1, len(report.results.sets))
    wrong, right = ([each for each in cases if (each.verdict == "right") is folded] for folded in (False, True))
    shown_wrong = choose(wrong, min(MOST_MISTAKES, max(1, room * 3 // 4)))
    shown_right = choose(right, min(MOST_RIGHT, max(1, room // 4)))
    part = f"; {len(shown_wrong)} of them are shown" if len(shown_wrong) < len(wrong) else ""
    html = f"<p>{_counts(wrong)}{part}.</p>" if wrong else f"<p>No mistake in {counted(len(right), 'item')}.</p>"
    if shown_wrong:
        html += _cards(shown_wrong, eval_set, pictures)
    if shown_right:
        part = f", {len(shown_right)} of them here" if len(shown_right) < len(right) else ""
        title = f"{counted(len(right), 'item')} that nobody got wrong{part}"
        html += f"<details><summary>{title}</summary>{_cards(shown_right, eval_set, pictures)}</details>"
    return html


def _counts(wrong: Sequence[Case]) -> str:
    """31 items with a mistake: 2 lost (the first was right), 9 wrong."""
    counts = {verdict: sum(each.verdict == verdict for each in wrong) for verdict in VERDICTS}
    if counts["scored"]:
        return f"{counted(len(wrong), 'item')}, the lowest scores first"
    meaning = {"lost": " (the first was right)", "gained": " (the first was wrong)", "wrong": " in all"}
    words = ", ".join(f"{number:,} {verdict}{meaning[verdict]}" for verdict, number in counts.items() if number)
    is_compared = len(wrong[0].answers) > 1
    return f"{counted(len(wrong), 'item')} with a mistake" + (f": {words}" if is_compared else "")


def _cards(cases: Sequence[Case], eval_set: EvalSet, pictures: PictureBudget) -> str:
    return f'<div class="cards">{"".join(render_case(each, eval_set, pictures) for each in cases)}</div>'


def _slices(report: Report, eval_set: EvalSet) -> str:
    results = [report.results.result(eval_set.name, each.name) for each in report.results.subjects]
    scores = {(tag, value): {} for result in results for tag, value, _ in result.slices}  # type: ignore[var-annotated]
    for result in results:
        for tag, value, score in result.slices:
            scores[tag, value][result.subject] = score
    rows = []
    for (tag, value), by_subject in scores.items():
        n = max(score.n for score in by_subject.values())
        cells = [_slice_cell(eval_set, by_subject.get(result.subject)) for result in results]
        rows.append([f"{inert(tag, 60)}: {inert(value, 60)}<small>n = {n:,}</small>", *cells])
    return _folded("Slices", _table(["slice", *_subject_titles(report)], rows, "plain")) if rows else ""


def _slice_cell(eval_set: EvalSet, score: Score | None) -> str:
    if score is None:
        return "–"
    return f"{score_text(eval_set.metric, score.mean)}<small>{interval_text(eval_set.metric, score)}</small>"


def _prompts(report: Report, eval_set: EvalSet) -> str:
    """How every prompt did, and what answers cost."""
    results = [report.results.result(eval_set.name, each.name) for each in report.results.subjects]
    rows = []
    for prompt in range(eval_set.num_prompts if eval_set.num_prompts > 1 else 0):
        cells = []
        for result in results:
            best = ' <span class="badge">best</span>' if prompt == result.best_prompt else ""
            cells.append(score_text(eval_set.metric, result.scores[prompt].mean) + best)
        rows.append([f"prompt {prompt}", *cells])
    rows.append(["tokens an answer", *(f"{result.mean_tokens:.1f}" for result in results)])
    rows += [list(row) for row in manner_rows([manner_of(eval_set, result) for result in results])]
    rows.append(["time", *(duration(result.seconds) for result in results)])
    title = "Prompts, lengths and time" if eval_set.num_prompts > 1 else "Lengths and time"
    return _folded(title, _table(["", *_subject_titles(report)], rows, "plain"))


def _list(lines: Sequence[str], noun: str, about: str) -> str:
    """3 records cannot be asked: folded, a line for each, up to a number of them; nothing where there are none."""
    if not lines:
        return ""
    rows = "".join(f"<li>{inert(line, 300)}</li>" for line in lines[:MOST_FAULTS])
    rest = len(lines) - MOST_FAULTS
    more = f"<li>and {rest:,} more</li>" if rest > 0 else ""
    title = f"{counted(len(lines), noun)} {about}"
    return (
        f'<details class="faults"><summary><span class="flag">{title}</span></summary><ul>{rows}{more}</ul></details>'
    )


def _left_out(pictures: PictureBudget) -> str:
    if not pictures.num_refused:
        return ""
    size = f"{MOST_PICTURE_BYTES / 2**20:.0f} MiB of pictures"
    return f'<p class="quiet under">{counted(pictures.num_refused, "picture")} left out: the page holds {size}.</p>'


def _circumstances(report: Report) -> str:
    rows = [[inert(name, 60), inert(value, 1000)] for name, value in report.results.circumstances.items()]
    for subject in report.results.subjects:
        adapter = f" with the adapter {subject.adapter}" if subject.adapter else ""
        rows.append([inert(subject.name, 80), inert(f"{subject.folder}{adapter}", 1000)])
    return _table([], rows, "fields")


def _folded(title: str, content: str) -> str:
    return f"<details><summary>{title}</summary>{content}</details>"


def _table(titles: Iterable[str], rows: Iterable[Sequence[str]], look: str = "") -> str:
    """Cells are HTML already; the first of a row is its name."""
    head = "".join(f"<th>{title}</th>" for title in titles)
    body = "".join(f"<tr><th>{name}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>" for name, *cells in rows)
    return f'<div class="wide"><table class="{look}">{f"<tr>{head}</tr>" if head else ""}{body}</table></div>'
