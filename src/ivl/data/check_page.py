"""A check's report as one HTML page that needs no other file and no network, light or dark as the reader's system is.

In: a report and the samples to show. Out: the page's text. Whatever comes from the data is escaped, and the page
forbids itself scripts and requests.
"""

import base64
from collections.abc import Sequence
from html import escape

from ivl.data.check_report import CheckReport, Duplicate, SplitCheck
from ivl.data.check_text import source_line, split_rows, verdict
from ivl.data.rendering import SampleView, Span, TileSheet, visible

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --paper: #fdfdfc; --faint: #6a6a6a; --line: #dcdcd8;
  --trained: #d5f0d9; --trained-ink: #0c4a1c; --image: #e2e8f5; --image-ink: #23407c; --bad: #a3261c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6e3; --paper: #17181a; --faint: #9b9b97; --line: #34363a;
  --trained: #16391f; --trained-ink: #a8e5b6; --image: #22304d; --image-ink: #b4c8f2; --bad: #f08a80; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 64rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; } h3 { font-size: 1rem; margin-bottom: .3rem; }
table { border-collapse: collapse; } td, th { text-align: left; vertical-align: top; padding: .15rem 1rem .15rem 0;
  border-bottom: 1px solid var(--line); overflow-wrap: anywhere; } th { font-weight: 600; white-space: nowrap; }
.where { font-family: ui-monospace, monospace; white-space: nowrap; } .faint { color: var(--faint); }
.bad { color: var(--bad); } pre { white-space: pre-wrap; overflow-wrap: anywhere; border: 1px solid var(--line);
  border-radius: .4rem; padding: .8rem; font: 13px/1.6 ui-monospace, monospace; }
mark { border-radius: .2rem; padding: .05rem 0; }
mark.trained { background: var(--trained); color: var(--trained-ink); }
mark.image { background: var(--image); color: var(--image-ink); }
.sheet { display: inline-block; vertical-align: top; margin: 0 1.2rem .6rem 0; }
.tiles { display: grid; gap: 2px; width: max-content; max-width: 100%; } .tiles img { display: block; max-width: 100%;
  outline: 1px solid var(--line); }
"""


def page(report: CheckReport, samples: Sequence[tuple[str, SampleView]]) -> str:
    """The page. samples: the split's name and the sample."""
    parts = [
        "<h1>Data check</h1>",
        f'<p class="{"bad" if report.faults else ""}">{_safe(verdict(report))}.</p>',
        *(_split(split, report) for split in report.splits),
        _shared(report),
        *(f"<p>{_safe(note)}</p>" for note in report.notes),
        _faults(report),
        _samples(samples),
    ]
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">"
        f"<title>Data check</title><style>{_STYLE}</style>"
    )
    body = "\n".join(part for part in parts if part)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _split(split: SplitCheck, report: CheckReport) -> str:
    rows = [("data set", source_line(each)) for each in split.sources] + split_rows(split, report)
    return f"<h2>{_safe(split.name)}</h2>{_table(rows)}{_duplicates(split.duplicates)}"


def _shared(report: CheckReport) -> str:
    if not report.shared_records and not report.num_shared_pictures:
        return ""
    text = (
        f"{report.num_shared_pictures:,} pictures and {len(report.shared_records):,} whole records stand in two splits"
    )
    return f"<h2>Between splits</h2><p>{text}: scores on them say little.</p>{_duplicates(report.shared_records)}"


def _faults(report: CheckReport) -> str:
    blocks = []
    for rule, faults in report.faults_by_rule.items():
        table = _table([(fault.where, fault.reason) for fault in faults], "where")
        blocks.append(f"<details open><summary><b>{_safe(rule)}</b> ({len(faults):,})</summary>{table}</details>")
    return "<h2>Records that cannot be used</h2>" + "".join(blocks) if blocks else ""


def _samples(samples: Sequence[tuple[str, SampleView]]) -> str:
    if not samples:
        return ""
    legend = (
        '<p class="faint">As the model sees them: <mark class="trained">what is trained</mark>, '
        '<mark class="image">the place of an image</mark>, and what is only read.</p>'
    )
    return "<h2>Samples</h2>" + legend + "".join(_sample(split, sample) for split, sample in samples)


def _sample(split: str, sample: SampleView) -> str:
    sheets = "".join(_sheet(sheet) for sheet in sample.sheets)
    text = "".join(_span(span) for span in sample.spans)
    return f"<section><h3>{_safe(sample.title)}, {_safe(split)}</h3>{sheets}<pre>{text}</pre></section>"


def _sheet(sheet: TileSheet) -> str:
    pictures = "".join(
        f'<img alt="tile {number}" src="data:image/jpeg;base64,{base64.b64encode(tile).decode()}">'
        for number, tile in enumerate(sheet.tiles, 1)
    )
    grid = f'<div class="tiles" style="grid-template-columns: repeat({sheet.columns}, auto)">{pictures}</div>'
    return f'<div class="sheet"><div class="faint">{_safe(sheet.caption)}</div>{grid}</div>'


def _span(span: Span) -> str:
    return _safe(span.text) if span.kind == "text" else f'<mark class="{span.kind}">{_safe(span.text)}</mark>'


def _table(rows: Sequence[tuple[str, str]], kind: str = "") -> str:
    cells = (f'<tr><th class="{kind}">{_safe(name)}</th><td>{_safe(text)}</td></tr>' for name, text in rows)
    return f"<table>{''.join(cells)}</table>"


def _duplicates(duplicates: Sequence[Duplicate]) -> str:
    if not duplicates:
        return ""
    table = _table([(each.where, f"equals {each.first}") for each in duplicates], "where")
    return f"<details><summary>{len(duplicates):,} duplicates</summary>{table}</details>"


def _safe(text: str) -> str:
    return escape(visible(text))
