"""`ivl doctor`: one line for each check of this machine or of a model's folder."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from ivl.cli.terminal import mark, show, status

if TYPE_CHECKING:
    from ivl.explain.check import Check

EPILOG = """\b
Examples:
  ivl doctor                        this machine
  ivl doctor path/to/model          this machine, then the folder
  ivl doctor path/to/model --json   the same as JSON

Exit code 1 when there is a problem."""


@click.command(epilog=EPILOG)
@click.argument("model", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(model: str | None, as_json: bool) -> int:
    """Check what this machine can do, and whether MODEL is whole and sane.

    MODEL is a folder or a hub id: its files, tensors, tokenizer and template are checked, and a short
    forward is run. Each line says ok, warning or problem, and what to do.
    """
    status("looking at this machine ...")
    from ivl.cli.subject import find_folder
    from ivl.explain.checkpoint import checkpoint_checks
    from ivl.explain.machine import machine_checks

    folder = None if model is None else find_folder(model)
    checks = _told(machine_checks(), as_json)
    if folder is not None:
        if not as_json:
            show(f"\n{folder}")
        checks += _told(checkpoint_checks(folder), as_json)
    problems = sum(check.level == "problem" for check in checks)
    if as_json:
        report = {"problems": problems, "checks": [asdict(check) for check in checks]}
        show(json.dumps(report, ensure_ascii=False, indent=2))
    else:
        warnings = sum(check.level == "warning" for check in checks)
        show(f"\n{_count(problems, 'problem')}, {_count(warnings, 'warning')}")
    return 1 if problems else 0


def _told(checks: "Iterable[Check]", is_silent: bool) -> "list[Check]":
    """All checks, each shown as soon as it is made."""
    told = []
    for check in checks:
        told.append(check)
        if not is_silent:
            advice = f" -> {check.advice}" if check.advice else ""
            show(f"{mark(check.level)} {check.name:<12} {check.found}{advice}")
    return told


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'s' * (number != 1)}"
