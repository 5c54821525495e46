"""The run's page as HTML: one file, no script, nothing from elsewhere, light and dark, for a phone as for a desk.

In: a `RunReport`. Out: the page's text. Every text that comes from a model, a data set or a recipe goes through
`shown`, and a content security policy forbids scripts on top of that.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from html import escape

from ivl.train.curves import Point, Smooth, smooth
from ivl.train.report import RunReport, Sample, Setting, verdict_counts
from ivl.train.report_chart import Curve, draw_chart
from ivl.train.report_style import STYLE
from ivl.train.wording import counted, duration, gigabytes, number, percent, short

LONGEST_TEXT = 2000
"""Characters of a question or an answer that are shown."""
MOST_SAMPLES = 60
MOST_VALIDATIONS = 40
MUCH_SHORTER = 0.5
# Control characters that HTML cannot hold, those that turn the direction of text, and halves of surrogate pairs.
_UNFIT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_STATES = {
    "running": "running",
    "finished": "finished",
    "stopped": "stopped; resume goes on",
    "broken": "ended by an error",
}
_VERDICTS = {
    "gained": "now right",
    "lost": "no longer right",
    "changed": "changed",
    "wrong": "not as expected",
    "right": "right",
}


def render_page(report: RunReport) -> str:
    """The whole page."""
    parts = [
        _head(report),
        _section("", _tiles(report)),
        _section("Curves", _charts(report)),
        _section("Validation", _validations(report)),
        _section("Answers before and after", _answers(report)),
        _section("Data and notices", _data(report)),
        _section("Recipe", _recipe(report.settings)),
        _section("Machine", _machine(report)),
    ]
    return "\n".join(parts) + "\n</main></body></html>\n"


def shown(value: object, most: int = LONGEST_TEXT) -> str:
    """A text as the page may hold it: inert, whole characters only, not without end."""
    text = _UNFIT.sub("\N{REPLACEMENT CHARACTER}", str(value))
    rest = len(text) - most
    return escape(text[:most] + (f" … ({counted(rest, 'more character')})" if rest > 0 else ""))


def _head(report: RunReport) -> str:
    title, state = shown(report.title, 200), _STATES[report.state]
    model = f"{shown(report.model, 300)} · " if report.model else ""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><title>{title}: training report</title>'
        f"<style>{STYLE}</style></head>\n<body><main><header><h1>{title}</h1>"
        f'<p><span class="state {report.state}">{state}</span> {model}'
        f'<span class="moment">{_moment(report.written)}</span></p></header>'
    )


def _section(title: str, content: str) -> str:
    if not content:
        return ""
    return f"<section>{f'<h2>{title}</h2>' if title else ''}{content}</section>"


def _tiles(report: RunReport) -> str:
    """The run in a few numbers."""
    history = report.history
    total = history.starts[-1]["total_steps"] if history.starts else 0
    tiles = [("steps", f"{history.last_step:,}", f"of {total:,}")]
    losses = history.curve("loss")
    if losses:
        tiles.append(("training loss", *_first_and_last(smooth(losses), number)))
    for title, name, wording in (
        ("validation loss", "loss", number),
        ("exact match", "exact_match", percent),
        ("characters", "mean_characters", lambda value: f"{value:.0f}"),
    ):
        points = history.curve(name, of_validation=True)
        if points:
            tiles.append((title, *_first_and_last(points, wording)))
    tokens, seconds = (sum(value for _, value in history.curve(name)) for name in ("num_tokens", "seconds"))
    tiles.append(("time in steps", duration(seconds), ""))
    tiles.append(("tokens", short(tokens), f"{short(tokens / seconds)}/s" if seconds else ""))
    tiles.append(("skipped", f"{_num_dropped(report):,}", "samples"))
    return (
        '<div class="tiles">'
        + "".join(
            f"<div><span>{name}</span><b>{escape(value)}</b><small>{escape(below)}</small></div>"
            for name, value, below in tiles
        )
        + "</div>"
    )


def _first_and_last(points: list[Point], wording: object) -> tuple[str, str]:
    assert callable(wording), "a function of a number is needed"
    last = wording(points[-1][1])
    return last, f"from {wording(points[0][1])}" if len(points) > 1 else ""


def _num_dropped(report: RunReport) -> int:
    return max((int(value) for _, value in report.history.curve("num_dropped")), default=0)


def _charts(report: RunReport) -> str:
    history = report.history
    loss, norm, rate = history.curve("loss"), history.curve("grad_norm"), history.curve("lr")
    validation = history.curve("loss", of_validation=True)
    matches = history.curve("exact_match", of_validation=True)
    charts = []
    if loss or validation:
        curves = [
            Curve(points=loss, look="faint"),
            Curve(points=smooth(loss), look="main", name="training"),
            Curve(points=validation, look="second", name="validation", has_dots=True),
        ]
        charts.append(("Loss", draw_chart("Loss", curves)))
    if matches:
        curve = Curve(points=matches, look="third", has_dots=True)
        charts.append(("Exact match", draw_chart("Exact match", [curve], is_share=True)))
    if rate:
        charts.append(("Learning rate", draw_chart("Learning rate", [Curve(points=rate, look="main")])))
    if norm:
        curves = [Curve(points=norm, look="faint"), Curve(points=smooth(norm), look="main")]
        charts.append(("Gradient norm", draw_chart("Gradient norm", curves)))
    figures = [f"<figure><figcaption>{name}</figcaption>{drawing}</figure>" for name, drawing in charts]
    return f'<div class="charts">{"".join(figures)}</div>' if figures else ""


def _validations(report: RunReport) -> str:
    records = report.history.validations
    if not records:
        return ""
    best = min(records, key=lambda record: _or_infinity(record["loss"]))["step"]
    kept = records if len(records) <= MOST_VALIDATIONS else (records[0], *records[1 - MOST_VALIDATIONS :])
    rows = []
    for record in kept:
        mark = ' <span class="badge">lowest</span>' if record["step"] == best and len(records) > 1 else ""
        length = record.get("mean_characters")
        rows.append(
            (
                f"{record['step']:,}",
                number(record["loss"]) + mark,
                percent(record.get("exact_match")),
                "–" if length is None else f"{length:.0f}",
            )
        )
    table = _table(("step", "loss", "exact match", "characters an answer"), rows, "numbers")
    left_out = len(records) - len(kept)
    more = f"<p class=quiet>{left_out:,} between the first and these are in metrics.jsonl.</p>" if left_out else ""
    return table + more


def _answers(report: RunReport) -> str:
    samples, (first, last) = report.samples, report.steps_compared
    if not samples:
        return ""
    counts = verdict_counts(samples)
    words = ", ".join(f"{counts[verdict]} {words}" for verdict, words in _VERDICTS.items() if counts[verdict])
    parts = [f"<p>Step {first:,} beside step {last:,}, changed ones first: {words}.</p>", _length_note(samples)]
    parts.append('<div class="cards">')
    parts += [_card(sample, first, last) for sample in samples[:MOST_SAMPLES]]
    parts.append("</div>")
    if len(samples) > MOST_SAMPLES:
        parts.append(f"<p class=quiet>{len(samples) - MOST_SAMPLES:,} more are in answers.jsonl.</p>")
    return "".join(parts)


def _length_note(samples: tuple[Sample, ...]) -> str:
    """Fine-tuning on short answers makes a model terse everywhere: say so where it shows."""
    pairs = [(len(each.before), len(each.after), len(each.expected)) for each in samples if each.before is not None]
    if not pairs:
        return ""
    before, after, expected = (sum(lengths) / len(pairs) for lengths in zip(*pairs, strict=True))
    line = f"Mean length: {before:.0f} characters before, {after:.0f} after; the expected answers have {expected:.0f}."
    if after < MUCH_SHORTER * before:
        line += (
            " The model has learnt to answer much more briefly, and may do so in other tasks too: replay_path mixes in"
            " general data, and longer training answers help."
        )
        return f'<p class="warning">{line}</p>'
    return f"<p>{line}</p>"


def _card(sample: Sample, first: int, last: int) -> str:
    name = shown(sample.sample_id, 120)
    picture = f'<img alt="picture of {name}" src="data:image/png;base64,{sample.picture}">' if sample.picture else ""
    rows = [("expected", sample.expected, "")]
    if sample.before is not None:
        rows.append((f"step {first:,}", sample.before, ""))
    rows.append((f"step {last:,}", sample.after, "after"))
    said = "".join(
        f'<dt class="{look}">{title}</dt><dd class="{look}" dir="auto">{shown(text) or "<i>nothing</i>"}</dd>'
        for title, text, look in rows
    )
    return (
        f'<article>{picture}<div><p class="id">{name} <span class="badge {sample.verdict}">'
        f'{_VERDICTS[sample.verdict]}</span></p><p class="question" dir="auto">{shown(sample.question)}</p>'
        f"<dl>{said}</dl></div></article>"
    )


def _data(report: RunReport) -> str:
    lines = [shown(line) for line in (*report.data_lines, *(each.get("text", "") for each in report.history.notices))]
    lines.append(f"{counted(_num_dropped(report), 'sample')} skipped while training, because a picture was unreadable")
    return "<ul>" + "".join(f"<li>{line}</li>" for line in lines) + "</ul>"


def _recipe(settings: tuple[Setting, ...]) -> str:
    given = [_setting_row(setting) for setting in settings if setting.is_given]
    rest = [_setting_row(setting)[:2] for setting in settings if not setting.is_given]
    table = _table(("field", "value", "default"), given, "fields") if given else "<p>Every field has its default.</p>"
    return f"{table}<details><summary>{counted(len(rest), 'field')} with default values</summary>" + (
        _table(("field", "value"), rest, "fields") + "</details>"
    )


def _setting_row(setting: Setting) -> tuple[str, str, str]:
    return (f"<code>{setting.name}</code>", _setting_value(setting.value), _setting_value(setting.default))


def _setting_value(value: object) -> str:
    """As a recipe says it; a data set by its path."""
    if isinstance(value, tuple):
        return "<br>".join(_setting_value(getattr(each, "path", each)) for each in value) or "none"
    if value is None or value == "":
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return shown(f"{value:g}" if isinstance(value, float) else value)


def _machine(report: RunReport) -> str:
    history = report.history
    rows: list[tuple[str, str]] = []
    if history.starts:
        start = history.starts[-1]
        rows.append(("device", f"{start['world_size']} × {shown(start['device'])}"))
        rows.append(("parameters", f"{start['num_trainable']:,} of {start['num_parameters']:,} train"))
        for index, each in enumerate(history.starts):
            rows.append(("begun" if index == 0 else f"resumed after step {each['step']:,}", _moment(each["time"])))
    if history.steps:
        rows.append(("memory, at most", gigabytes(max(value for _, value in history.curve("memory_bytes")))))
    for name, title in (("seconds", "time in steps"), ("data_seconds", "of it waiting for data")):
        rows.append((title, duration(sum(value for _, value in history.curve(name)))))
    speed = Smooth(20)
    mfu = [speed.add(value) for _, value in history.curve("mfu")]
    if mfu:
        rows.append(("model FLOP utilisation", percent(mfu[-1])))
    if history.end:
        rows += [("ended", _moment(history.end["time"])), ("output", shown(history.end["output"]))]
    rows.append(("versions", ", ".join(f"{shown(name)} {shown(version)}" for name, version in report.versions.items())))
    return _table((), rows, "fields")


def _table(titles: Iterable[str], rows: Iterable[Iterable[str]], look: str) -> str:
    """Cells are HTML already."""
    head = "".join(f"<th>{title}</th>" for title in titles)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table class="{look}">{f"<tr>{head}</tr>" if head else ""}{body}</table></div>'


def _moment(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _or_infinity(value: float | None) -> float:
    return float("inf") if value is None else value
