"""What a report says: the results, and what follows from them alone.

In: `EvalResults`. Out: a `Report`, which the page, the Markdown and the table of a terminal are written from, and the
same as plain data for results.json. Knows no layout.
"""

from dataclasses import dataclass
from typing import Any

from ivl.errors import SettingsError
from ivl.evals.compare import AnswerLengths, answer_lengths, paired
from ivl.evals.item import EvalResults, EvalSet, Metric, Prediction, Score, SetResult
from ivl.evals.style import Manner, manner

SCHEMA = 1
"""Of results.json; raised when a field changes its meaning or leaves."""
RIGHT = 0.5
"""An answer that is worth at least this is called right where it is shown; scores are means of the worth itself."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What another subject gained over the first one, item by item."""

    subject: str
    baseline: str
    set_name: str
    """Empty: all sets together, each item counting once."""
    lengths: AnswerLengths | None
    """None where no item was answered by both."""
    score: Score
    """`mean` above 0: the other subject is better; its interval is of the paired difference."""

    @property
    def verdict(self) -> str:
        """ "better" or "worse" where the whole interval says so, else "same"."""
        return "better" if self.score.low > 0 else "worse" if self.score.high < 0 else "same"


@dataclass(frozen=True, kw_only=True, eq=False)
class Report:
    """Results ready to be told."""

    results: EvalResults
    differences: tuple[Difference, ...]

    def difference(self, set_name: str, subject: str) -> Difference | None:
        """None for the first subject, and for sets that cannot be pooled."""
        for each in self.differences:
            if (each.set_name, each.subject) == (set_name, subject):
                return each
        return None


def make_report(results: EvalResults) -> Report:
    """Compare every subject with the first, on each set and on all together."""
    first, *others = [subject.name for subject in results.subjects]
    pooled = [each.name for each in results.sets if each.metric != "cider"]
    wanted = [(other, [each.name], each.name) for other in others for each in results.sets]
    wanted += [(other, pooled, "") for other in others if len(pooled) > 1]
    made = [_difference(results, first, other, names, name) for other, names, name in wanted]
    return Report(results=results, differences=tuple(each for each in made if each is not None))


def best_predictions(result: SetResult) -> tuple[Prediction, ...]:
    """What was said under the best prompt, in the set's order."""
    return result.predictions[result.best_prompt]


def is_right(metric: Metric, prediction: Prediction) -> bool | None:
    """None for CIDEr, which knows no right and wrong."""
    return None if metric == "cider" else prediction.score >= RIGHT


def failures(report: Report, eval_set: EvalSet) -> list[str]:
    """The items of a set that a subject could not answer under its best prompt: where each is, why, and who."""
    columns = {each.name: report.results.result(eval_set.name, each.name) for each in report.results.subjects}
    lines: list[str] = []
    for idx, item in enumerate(eval_set.items):
        reasons: dict[str, list[str]] = {}
        for name, result in columns.items():
            prediction = best_predictions(result)[idx]
            if not prediction.finish_reason:
                reasons.setdefault(prediction.text, []).append(name)
        if reasons:
            told = [f"{reason} ({', '.join(names)})" for reason, names in reasons.items()]
            lines.append(f"{item.where}: {'; '.join(told)}")
    return lines


def manner_of(eval_set: EvalSet, result: SetResult) -> Manner | None:
    """How the answers were put; None for letters and boxes, whose form is asked for, and where nothing was said."""
    said = [each for each in best_predictions(result) if each.finish_reason]
    return manner(said) if said and eval_set.metric not in ("choice", "iou") else None


def chance(eval_set: EvalSet) -> float | None:
    """The share that guessing among the choices would get right; None where there are no choices."""
    if eval_set.metric != "choice" or not eval_set.items or not all(item.choices for item in eval_set.items):
        return None
    return sum(1 / len(item.choices) for item in eval_set.items) / len(eval_set.items)


def as_data(report: Report) -> dict[str, Any]:
    """The report without items and answers, as results.json holds it."""
    results = report.results
    return {
        "schema": SCHEMA,
        "scoring": results.scoring,
        "circumstances": dict(results.circumstances),
        "subjects": [{"name": each.name, "folder": each.folder, "adapter": each.adapter} for each in results.subjects],
        "sets": [_set_data(report, each) for each in results.sets],
        "differences": [_difference_data(each) for each in report.differences],
    }


def _difference(results: EvalResults, first: str, other: str, sets: list[str], name: str) -> Difference | None:
    """None where no item was answered by either."""
    try:
        score = paired(results, first, other, sets)
    except SettingsError:
        return None
    try:
        lengths = answer_lengths(results, first, other, sets)
    except SettingsError:
        lengths = None
    return Difference(subject=other, baseline=first, set_name=name, lengths=lengths, score=score)


def _set_data(report: Report, eval_set: EvalSet) -> dict[str, Any]:
    results = report.results
    return {
        "name": eval_set.name,
        "title": eval_set.title,
        "metric": eval_set.metric,
        "language": eval_set.language,
        "licence": eval_set.licence,
        "num_items": len(eval_set.items),
        "num_prompts": eval_set.num_prompts,
        "chance": chance(eval_set),
        "num_faults": len(eval_set.faults),
        "faults": list(eval_set.faults),
        "failures": failures(report, eval_set),
        "results": [_result_data(eval_set, results.result(eval_set.name, each.name)) for each in results.subjects],
    }


def _result_data(eval_set: EvalSet, result: SetResult) -> dict[str, Any]:
    said = manner_of(eval_set, result)
    return {
        "subject": result.subject,
        "score": _score_data(result.scores[result.best_prompt]),
        "best_prompt": result.best_prompt,
        "prompts": [_score_data(score) for score in result.scores],
        "num_unparsed": result.num_unparsed,
        "num_failed": result.num_failed,
        "mean_tokens": result.mean_tokens,
        "mean_characters": said.mean_characters if said else None,
        "share_of_sentences": said.style_score if said else None,
        "seconds": result.seconds,
        "slices": [{"tag": tag, "value": value, **_score_data(score)} for tag, value, score in result.slices],
    }


def _difference_data(each: Difference) -> dict[str, Any]:
    return {
        "set": each.set_name or None,
        "subject": each.subject,
        "baseline": each.baseline,
        "verdict": each.verdict,
        **_score_data(each.score),
        "lengths": _lengths_data(each.lengths) if each.lengths else None,
    }


def _score_data(score: Score) -> dict[str, Any]:
    return {"mean": score.mean, "low": score.low, "high": score.high, "n": score.n}


def _lengths_data(lengths: AnswerLengths) -> dict[str, float]:
    names = ("tokens_before", "tokens_after", "characters_before", "characters_after", "ratio")
    return {name: getattr(lengths, name) for name in names}
