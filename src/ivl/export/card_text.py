"""A card's body, in both languages from the same facts.

In: `Facts`. Out: Markdown. Every text of a file or a person goes through `in_markdown`; numbers are the files' own.
"""

import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ivl._version import __version__
from ivl.export.card_base import Base, Folder, Licence
from ivl.export.card_private import in_markdown, public
from ivl.export.card_report import METRICS, Report, Score
from ivl.export.card_run import Run
from ivl.export.card_samples import Sample
from ivl.export.card_use import usage

LANGUAGES = ("en", "zh")


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that a card says."""

    name: str
    folder: Folder
    base: Base | None
    licence: Licence | None
    run: Run | None
    report: Report | None
    samples: tuple[Sample, ...]
    pictures: tuple[str, ...]
    """Where each sample's picture lies, relative to the card."""
    withheld: tuple[str, ...]
    """Sets whose pictures may not be passed on."""
    are_chosen: bool
    """Whether a person chose the samples."""


class Words:
    """The card's texts in one language."""

    def __init__(self, language: str) -> None:
        self.language = language
        text = Path(__file__).with_name("card_words.toml").read_text("utf-8")
        self._texts = {key: row[language] for key, row in tomllib.loads(text).items()}

    def __call__(self, key: str, **values: object) -> str:
        text: str = self._texts[key]
        return text.format(**values)


def body(facts: Facts) -> str:
    """The card without its front matter: a title, then everything in English, then in Chinese."""
    parts = [f"# {in_markdown(facts.name.rpartition('/')[2], 200)}", "[English](#english) | [中文](#中文)"]
    for language in LANGUAGES:
        words = Words(language)
        parts.append(f"## {words('language')}")
        parts += [part for section in _SECTIONS for part in section(facts, words)]
    return "\n\n".join(parts) + "\n"


def _what(facts: Facts, words: Words) -> Iterator[str]:
    kind = "adapter" if facts.folder.config is None else "finetune" if facts.run or facts.base else "plain"
    yield f"### {words('what')}"
    yield words(f"what_{kind}")
    licence = facts.licence
    told = words("licence_unknown")
    if licence:
        told = in_markdown(licence.license) + (f" ({in_markdown(licence.name)})" if licence.name else "")
    rows = [(words("base"), _base(facts.base, words)), (words("licence"), told)]
    rows.append((words("layout"), words(f"layout_{facts.folder.kind}")))
    yield _list(rows, words)
    yield words("made_with", version=__version__)


def _base(base: Base | None, words: Words) -> str:
    if base is None:
        return words("base_unknown")
    if not base.model_id:
        return in_markdown(base.name)
    return in_markdown(base.model_id) + (f" ({words('base_by_name')})" if base.is_by_name else "")


def _training(facts: Facts, words: Words) -> Iterator[str]:
    yield f"### {words('training')}"
    run = facts.run
    if run is None:
        yield words("training_unknown")
        return
    if run.data:
        rows = [(in_markdown(each.name), words(f"role_{each.role}"), _terms(each.licence, each.is_foodieqa, words))
                for each in run.data]  # fmt: skip
        yield _table((words("data"), words("data_role"), words("data_terms")), rows)
    facts_of_run = list(_run_rows(run, words))
    if facts_of_run:
        yield _table((words("run"), ""), facts_of_run)
    if run.is_finished is not True:
        yield words("unfinished")
    if run.settings:
        settings = [(f"`{name}`", in_markdown(value)) for name, value in run.settings]
        yield _table((words("field"), words("value")), settings)


def _terms(licence: str | None, is_foodieqa: bool, words: Words) -> str:
    return in_markdown(licence) if licence else words("terms_foodieqa" if is_foodieqa else "terms_unknown")


def _run_rows(run: Run, words: Words) -> Iterator[tuple[str, str]]:
    if run.steps is not None:
        is_part = run.total_steps is not None and run.total_steps != run.steps
        total = f"{run.total_steps:,}" if run.total_steps else ""
        yield words("steps"), words("steps_of", steps=f"{run.steps:,}", total=total) if is_part else f"{run.steps:,}"
    if run.epochs is not None:
        yield words("epochs"), f"{run.epochs:.2f}"
    for key, number in (("samples_seen", run.num_samples), ("tokens_seen", run.num_tokens)):
        if number is not None:
            yield words(key), f"{number:,}"
    if run.num_trained is not None and run.num_parameters is not None:
        yield words("trained"), words("trained_of", trained=f"{run.num_trained:,}", all=f"{run.num_parameters:,}")
    if run.device is not None:
        count = f"{run.world_size} × " if run.world_size and run.world_size > 1 else ""
        yield words("device"), count + in_markdown(run.device)
    if run.seconds is not None:
        several = run.num_starts != 1 or run.is_finished is None
        name = words("step_time", starts=run.num_starts) if several else words("wall_time")
        yield name, _duration(run.seconds)
    if run.losses is not None:
        yield words("losses"), f"{run.losses[0]:.4g}, {run.losses[1]:.4g}"
    if run.versions is not None:
        yield words("versions"), in_markdown(run.versions)


def _evaluation(facts: Facts, words: Words) -> Iterator[str]:
    yield f"### {words('evaluation')}"
    report = facts.report
    if report is None:
        yield words("evaluation_none")
        return
    after = in_markdown(report.shown_subject)
    if report.shown_baseline:
        yield words("evaluation_names", before=in_markdown(report.shown_baseline), after=after)
    else:
        yield words("evaluation_alone", after=after)
    yield _scores(report, words)
    yield f"{words('evaluation_note')} {words(f'scoring_{report.scoring}')}"
    if report.circumstances:
        yield _list(((words(f"told_{key}"), in_markdown(value)) for key, value in report.circumstances), words)


def _scores(report: Report, words: Words) -> str:
    compared = report.baseline is not None
    titles = [words("set"), words("metric"), "n", *([words("before")] if compared else []), words("after")]
    titles += [words("difference")] if compared else []
    rows = []
    for each in report.sets:
        metric = METRICS[each.metric][1 + (words.language == "zh")]
        row = [in_markdown(each.name), metric, f"{each.after.n:,}"]
        row += [_score(each.metric, each.before, words)] if compared else []
        row.append(_score(each.metric, each.after, words))
        rows.append([*row, _difference(each.metric, each.difference, words)] if compared else row)
    if compared and report.pooled is not None:
        pooled = report.pooled
        rows.append([words("all_sets"), "", f"{pooled.n:,}", "", "", _difference("choice", pooled, words)])
    return _table(titles, rows)


def _score(metric: str, score: Score | None, words: Words) -> str:
    if score is None:
        return "–"
    if metric == "cider":
        return f"{score.mean:.2f} ({score.low:.2f} {words('to')} {score.high:.2f})"
    return f"{100 * score.mean:.1f}% ({100 * score.low:.1f} {words('to')} {100 * score.high:.1f})"


def _difference(metric: str, score: Score | None, words: Words) -> str:
    if score is None:
        return "–"
    factor, digits = (1, 2) if metric == "cider" else (100, 1)

    def signed(value: float) -> str:
        return f"{round(factor * value, digits) + 0.0:+.{digits}f}".replace("-", "−")

    mean = signed(score.mean)
    mean = f"**{mean}**" if score.low > 0 or score.high < 0 else mean
    return f"{mean} ({signed(score.low)} {words('to')} {signed(score.high)})"


def _examples(facts: Facts, words: Words) -> Iterator[str]:
    if not facts.samples and not facts.withheld:
        return
    yield f"### {words('examples')}"
    if facts.samples:
        yield words("examples_chosen" if facts.are_chosen else "examples_note")
    if facts.withheld:
        yield words("examples_withheld", sets=", ".join(in_markdown(each) for each in facts.withheld))
    for terms in sorted({each.terms for each in facts.samples if each.terms}):
        yield words("examples_terms", terms=in_markdown(terms))
    for number, (sample, picture) in enumerate(zip(facts.samples, facts.pictures, strict=True), start=1):
        yield f"![{words('picture_alt', number=number)}]({picture})"
        rows = [(words("question"), sample.question)]
        rows += [(words("expected"), sample.expected)] if sample.expected else []
        rows += [(_who(who, facts.report, words), said) for who, said in sample.answers]
        yield _list(((name, in_markdown(text)) for name, text in rows), words)


def _who(name: str, report: Report | None, words: Words) -> str:
    if report and name == report.subject and report.baseline:
        return words("after")
    if report and name == report.baseline:
        return words("before")
    return words("answer") + (
        f", {in_markdown(public(name, 80))}" if name and not (report and name == report.subject) else ""
    )


def _use(facts: Facts, words: Words) -> Iterator[str]:
    yield f"### {words('use')}"
    yield from usage(facts.name, facts.folder.kind, facts.base, words)


def _limits(facts: Facts, words: Words) -> Iterator[str]:
    yield f"### {words('limits')}"
    lines = [words("limit_base"), words("limit_safety")]
    report = facts.report
    if report is not None:
        lines.append(words("limit_unmeasured"))
        worse = [in_markdown(each.name) for each in report.sets if each.difference and each.difference.high < 0]
        lines += [words("limit_worse", sets=", ".join(worse))] if worse else []
        lengths = report.lengths
        if lengths is not None and 0 < lengths[1] < lengths[0] / 2:
            lines.append(words("limit_terse", before=f"{lengths[0]:.1f}", after=f"{lengths[1]:.1f}"))
        unparsed, failed = (sum(getattr(each, key) for each in report.sets) for key in ("num_unparsed", "num_failed"))
        lines += [words("limit_unparsed", count=unparsed, failed=failed)] if unparsed or failed else []
        lines += sorted({in_markdown(each.licence) for each in report.sets if each.licence})
    lines += [words("limit_terms")] if facts.run and facts.run.data else []
    yield "\n".join(f"- {line}" for line in lines)


def _list(rows: Iterable[tuple[str, str]], words: Words) -> str:
    return "\n".join(f"- {words('pair', name=name, value=value)}" for name, value in rows)


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _duration(seconds: float) -> str:
    whole = max(0, round(seconds))
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


_SECTIONS = (_what, _training, _evaluation, _examples, _use, _limits)
