"""What `ivl push` shows of its plan, and the question before anything is sent.

In: a `PushPlan`. Out: lines on stdout; a yes or no from the terminal. Sends nothing.
"""

import sys
from typing import TYPE_CHECKING

import click

from ivl.cli.terminal import note, one_line, show
from ivl.cli.transfer_progress import size_text
from ivl.errors import InputError

if TYPE_CHECKING:
    from ivl.export.publish import PushPlan

_LARGE = 10_000_000
_LARGE_KINDS = (".safetensors", ".model", ".jpg", ".jpeg", ".png", ".webp", ".gif")


def show_plan(plan: "PushPlan", private: bool, revision: str | None) -> None:
    """Every file with size and hash, and what stays with the reason."""
    width = max(len(name) for name in [each.name for each in plan.files] + [each.name for each in plan.left_out])
    where = f"{plan.hub}: {plan.repo_id}{f' ({revision})' if revision else ''}, {'private' if private else 'public'}"
    show(f"{plan.kind} {plan.folder} to {where}")
    for file in plan.files:
        large = file.size > _LARGE or file.name.endswith(_LARGE_KINDS)
        show(f"  {file.name:<{width}}  {size_text(file.size):>9}  {'LFS' if large else 'git'}  sha256 {file.sha256}")
    show(f"  {len(plan.files)} files, {size_text(plan.num_bytes)}; LFS or git is the hub's choice, and usually this")
    for each in plan.left_out:
        show(f"  stays: {one_line(each.name):<{width}}  {each.reason}")
    for line in plan.notes:
        note(line)


def confirm(is_sure: bool) -> None:
    """Ask before sending. Raises InputError where nobody can be asked, click.Abort for a no."""
    if is_sure:
        return
    if not sys.stdin.isatty():
        raise InputError("nobody is at the terminal to ask: --yes sends without asking, --dry-run shows what would go")
    click.confirm("send it?", abort=True, err=True)
