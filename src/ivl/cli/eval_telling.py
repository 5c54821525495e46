"""What `ivl eval` tells besides its progress: what is wrong with a set, and the table at its end.

In: sets, results. Out: text on stderr, and the table on stdout. Knows no models.
"""

import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ivl.cli.terminal import note, show, warn

if TYPE_CHECKING:
    from ivl.evals.item import EvalResults, EvalSet

SHOWN_FAULTS = 3
WIDTH_OF_A_FILE = 200


def default_out(words: Sequence[str]) -> Path:
    """The same folder for the same sets, so that a run goes on by itself."""
    names = "-".join(re.sub(r"[^\w.-]+", "-", Path(word).stem).strip("-.") for word in words)
    return Path("runs") / f"eval-{names[:80] or 'sets'}"


def tell_sets(sets: "Sequence[EvalSet]") -> None:
    """Licences, and what cannot be asked."""
    from ivl.evals.report_words import counted

    for licence in dict.fromkeys(each.licence for each in sets if each.licence):
        note(licence)
    for each in sets:
        if each.faults:
            for line in each.faults[:SHOWN_FAULTS]:
                warn(line)
            note(f"{each.name}: {counted(len(each.faults), 'record')} left out; the report names them")


def tell_results(results: "EvalResults", *, as_json: bool) -> None:
    """The table, or all figures as JSON, on stdout."""
    from ivl.evals.report import to_json
    from ivl.evals.report_data import as_data, make_report
    from ivl.evals.report_text import terminal_lines

    report = make_report(results)
    if as_json:
        show(to_json(as_data(report)).rstrip())
        return
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDTH_OF_A_FILE
    for line in terminal_lines(report, width):
        show(line)
