"""The files that an evaluation leaves: results.json for programs, report.md for people, report.html with pictures.

In: `EvalResults` and a folder. Out: three files there, each the old one or the new one at any moment, never half.
"""

import json
import math
from pathlib import Path
from typing import Any

from ivl.errors import InputError
from ivl.evals.item import EvalResults
from ivl.evals.report_data import as_data, make_report
from ivl.evals.report_page import render_page
from ivl.evals.report_text import markdown

RESULTS, MARKDOWN, PAGE = "results.json", "report.md", "report.html"


def write_report(results: EvalResults, out: Path) -> Path:
    """Write the three files into `out`, which is made if it is not there; the page's path.

    Pictures are read again for the page; one that cannot be is named there. Raises InputError where nothing can be
    written.
    """
    report = make_report(results)
    texts = {RESULTS: to_json(as_data(report)), MARKDOWN: markdown(report), PAGE: render_page(report)}
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            _write_whole(out / name, text)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f"the report cannot be written to {str(out)!r}: {reason}; name another folder") from None
    return out / PAGE


def to_json(data: Any) -> str:
    """JSON for a file or a pipe; what is no number there becomes null."""
    return json.dumps(_finite(data), ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def _write_whole(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(text.encode("utf-8", "replace"))
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
