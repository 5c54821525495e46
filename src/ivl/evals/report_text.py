"""An evaluation in Markdown, and as lines for a terminal.

In: a `Report`. Out: texts. What comes from a model or a data set steers neither Markdown nor the terminal.
"""

import unicodedata
from collections.abc import Sequence

from ivl.evals.item import EvalSet, Metric, Score, SetResult
from ivl.evals.report_data import Report, chance, failures, manner_of
from ivl.evals.report_words import (
    HOW_SURE,
    METRIC_WORDS,
    clean,
    counted,
    difference_text,
    duration,
    in_table,
    interval_text,
    manner_rows,
    score_text,
    signed_interval_text,
)

MOST_FAULTS = 20
_Row = tuple[str, ...]


def markdown(report: Report) -> str:
    """The tables of the page, without items."""
    results = report.results
    names = tuple(in_table(each.name) for each in results.subjects)
    titles = ("set", "metric", "n", *names)
    parts = ["# Evaluation", _table(titles, [_score_row(report, each) for each in results.sets])]
    parts.append(
        f"In brackets: the 95% interval. {HOW_SURE} "
        f"Scored by {'the likelihood of the letters' if results.scoring == 'likelihood' else 'free answers'}."
    )
    if report.differences:
        rows = [_difference_row(report, each.name, in_table(each.name), each.metric) for each in results.sets]
        if any(not each.set_name for each in report.differences):
            rows.append(_difference_row(report, "", "all sets together", "choice"))
        parts += [f"## Differences from {names[0]}", _table(("set", *names[1:]), rows)]
        parts.append("Points, item by item on the same items. Bold: the whole interval is on one side of zero.")
    parts += [part for each in results.sets for part in _set_parts(report, each, names)]
    parts += ["## How it was run", _table(("", ""), _circumstances(report))]
    return "\n\n".join(parts) + "\n"


def terminal_lines(report: Report, width: int) -> list[str]:
    """A table of scores and one of differences; a block for each set where a table would be wider than the terminal."""
    results = report.results
    names = tuple(clean(each.name) for each in results.subjects)
    rows = [_plain_row(report, each) for each in results.sets]
    lines = _aligned([("set", "metric", "n", *names), *rows], width)
    lines += [line for each in results.results if (line := _counted_wrong(each))]
    if report.differences:
        differences = [_difference_row(report, each.name, clean(each.name), each.metric) for each in results.sets]
        if any(not each.set_name for each in report.differences):
            differences.append(_difference_row(report, "", "all sets together", "choice"))
        plain = [tuple(cell.replace("**", "") for cell in row) for row in differences]
        lines += ["", f"against {names[0]}, in points", *_aligned([("set", *names[1:]), *plain], width)]
    return lines


def _score_row(report: Report, eval_set: EvalSet) -> _Row:
    results = [report.results.result(eval_set.name, each.name) for each in report.results.subjects]
    metric = METRIC_WORDS[eval_set.metric]
    guessed = chance(eval_set)
    metric += f" (chance {score_text('choice', guessed)})" if guessed is not None else ""
    cells = (_score_cell(eval_set, each) for each in results)
    return (in_table(eval_set.name), metric, f"{len(eval_set.items):,}", *cells)


def _plain_row(report: Report, eval_set: EvalSet) -> _Row:
    results = [report.results.result(eval_set.name, each.name) for each in report.results.subjects]
    cells = (_with_interval(eval_set.metric, each.scores[each.best_prompt]) for each in results)
    return (clean(eval_set.name), METRIC_WORDS[eval_set.metric], f"{len(eval_set.items):,}", *cells)


def _counted_wrong(result: SetResult) -> str:
    """What counts as wrong without having been a wrong answer."""
    notes = [f"{counted(result.num_unparsed, 'answer')} could not be read"] if result.num_unparsed else []
    notes += [f"{counted(result.num_failed, 'item')} could not be answered"] if result.num_failed else []
    return clean(f"{result.subject} on {result.set_name}: {', '.join(notes)}; counted as wrong") if notes else ""


def _score_cell(eval_set: EvalSet, result: SetResult) -> str:
    score = result.scores[result.best_prompt]
    notes = [f"{result.num_unparsed:,} not readable"] if result.num_unparsed else []
    notes += [f"{result.num_failed:,} not answered"] if result.num_failed else []
    return _with_interval(eval_set.metric, score) + (f", {', '.join(notes)}" if notes else "")


def _with_interval(metric: Metric, score: Score) -> str:
    return f"{score_text(metric, score.mean)} ({interval_text(metric, score)})"


def _difference_row(report: Report, set_name: str, title: str, metric: Metric) -> _Row:
    cells = []
    for subject in report.results.subjects[1:]:
        each = report.difference(set_name, subject.name)
        if each is None:
            cells.append("–")
            continue
        mean = difference_text(metric, each.score.mean)
        mean = mean if each.verdict == "same" else f"**{mean}**"
        cells.append(f"{mean} ({signed_interval_text(metric, each.score)})")
    return (title, *cells)


def _set_parts(report: Report, eval_set: EvalSet, names: _Row) -> list[str]:
    results = [report.results.result(eval_set.name, each.name) for each in report.results.subjects]
    parts = [f"## {in_table(eval_set.title)}"]
    if eval_set.licence:
        parts.append(in_table(eval_set.licence, 600))
    rows: list[_Row] = []
    for prompt in range(eval_set.num_prompts if eval_set.num_prompts > 1 else 0):
        cells = [
            score_text(eval_set.metric, each.scores[prompt].mean) + (" (best)" if prompt == each.best_prompt else "")
            for each in results
        ]
        rows.append((f"prompt {prompt}", *cells))
    rows.append(("tokens an answer", *(f"{each.mean_tokens:.1f}" for each in results)))
    rows += manner_rows([manner_of(eval_set, each) for each in results])
    rows.append(("time", *(duration(each.seconds) for each in results)))
    rows += _slice_rows(eval_set, results)
    parts.append(_table(("", *names), rows))
    parts += _list(failures(report, eval_set), "item", "could not be answered")
    parts += _list(eval_set.faults, "record", "cannot be asked")
    return parts


def _list(lines: Sequence[str], noun: str, about: str) -> list[str]:
    """3 records cannot be asked: a line for each, up to a number of them; nothing where there are none."""
    if not lines:
        return []
    rest = len(lines) - MOST_FAULTS
    shown = [*(in_table(line, 300) for line in lines[:MOST_FAULTS]), *([f"and {rest:,} more"] if rest > 0 else [])]
    return ["\n".join([f"{counted(len(lines), noun)} {about}:", "", *(f"- {line}" for line in shown)])]


def _slice_rows(eval_set: EvalSet, results: Sequence[SetResult]) -> list[_Row]:
    tables = [{(tag, value): score for tag, value, score in each.slices} for each in results]
    keys = dict.fromkeys(key for table in tables for key in table)
    rows = []
    for tag, value in keys:
        scores = [table.get((tag, value)) for table in tables]
        n = max(score.n for score in scores if score is not None)
        cells = ("–" if score is None else _with_interval(eval_set.metric, score) for score in scores)
        rows.append((f"{in_table(tag, 60)}: {in_table(value, 60)}, n = {n:,}", *cells))
    return rows


def _circumstances(report: Report) -> list[_Row]:
    rows: list[_Row] = [(in_table(name), in_table(value, 1000)) for name, value in report.results.circumstances.items()]
    for each in report.results.subjects:
        adapter = f" with the adapter {each.adapter}" if each.adapter else ""
        rows.append((in_table(each.name), in_table(f"{each.folder}{adapter}", 1000)))
    return rows


def _table(titles: Sequence[str], rows: Sequence[_Row]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _aligned(rows: Sequence[_Row], width: int) -> list[str]:
    """Columns side by side, or each row as a block where they do not fit."""
    widths = [max(_width(row[column]) for row in rows) for column in range(len(rows[0]))]
    if sum(widths) + 2 * (len(widths) - 1) <= width:
        return ["  ".join(_padded(cell, w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    titles, *others = rows
    longest = max(_width(title) for title in titles)
    lines = []
    for row in others:
        lines.append(row[0])
        lines += [f"  {_padded(title, longest)}  {cell}" for title, cell in zip(titles[1:], row[1:], strict=True)]
    return lines


def _width(text: str) -> int:
    """Columns of a terminal: Chinese characters take two."""
    return sum(1 + (unicodedata.east_asian_width(char) in "WF") for char in text if not unicodedata.combining(char))


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _width(text))
