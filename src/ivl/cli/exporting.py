"""What `ivl merge` and `ivl export` have in common: options, a bar, what they say before and after.

In: what is being written, and what came of it. Out: text. Knows no weights.
"""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from ivl.cli.terminal import note, one_line, show

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from ivl.export import Exported, ExportPlan, ModelSource

Tell = Callable[[str, int, int], None]
DTYPES = ("float32", "bfloat16", "float16")
_DTYPE = "Type of all weights. [default: each keeps its own]"
_TILES = "Tiles of a picture at most, where the new folder is served. [default: as the base]"
_VERIFY = "Do not read the new folder again to compare it with its source."
_WHAT = {"writing": "GB written", "checking": "parameters compared"}
_SECONDS = 10.0


def writing_options(command: Any) -> Any:
    """Add the options of how a folder is written: dtype, max_tiles, no_verify, dry_run."""
    for option in (
        click.option("--dry-run", is_flag=True, help="Show files, sizes and free space, and write nothing."),
        click.option("--no-verify", is_flag=True, help=_VERIFY),
        click.option("--max-tiles", type=click.IntRange(1, 1024), help=_TILES),
        click.option("--dtype", type=click.Choice(DTYPES), help=_DTYPE),
    ):
        command = option(command)
    return command


@contextlib.contextmanager
def writing_progress() -> Iterator[Tell]:
    """Gives what is to be told the stage, what is done and what is to do."""
    bar = _bar() if sys.stderr.isatty() else None
    if bar is None:
        yield _lines()
        return
    tasks: dict[str, TaskID] = {}

    def tell(stage: str, done: int, total: int) -> None:
        if stage not in tasks:
            tasks[stage] = bar.add_task(stage, total=total)
        bar.update(tasks[stage], completed=done)

    with bar:
        yield tell


def tell_plan(plan: "ExportPlan") -> None:
    """What would be written, on stdout."""
    show(
        f"{plan.folder} would be written, {plan.layout} layout, {_size(plan.num_bytes)} ({_size(plan.free_bytes)} free)"
    )
    _tell_source(plan.source)
    for name, size in (*plan.files, ("config.json", 0)):
        show(f"  {one_line(name):<36} {_size(size) if size else '':>10}")
    for line in plan.notes:
        note(line)


def tell_exported(done: "Exported") -> None:
    """What was written and how it compares, on stdout; what to look at, on stderr."""
    num_shards = sum(name.endswith(".safetensors") for name, _ in done.files)
    files = "1 file" if num_shards == 1 else f"{num_shards} files"
    show(f"{done.folder} ({done.layout} layout, {files} of weights, {_size(done.num_bytes)}, {done.seconds:.0f} s)")
    _tell_source(done.source)
    found = done.comparison
    if found is None:
        show("  not compared with its source (--no-verify)")
    else:
        show(f"  compared    all {found.num_parameters:,} numbers, and the logits of a prompt with a picture")
        scale = f"allowed: {found.tolerance:.2g}; the largest logit is {found.largest_logit:.3g}"
        show(f"  difference  {found.difference:.2g} at most between two logits ({scale})")
    for line in done.notes:
        note(line)


def _tell_source(source: "ModelSource") -> None:
    show(f"  model       {source.model}")
    for name, folder in (("adapter", source.adapter), ("trained", source.trained)):
        if folder is not None:
            show(f"  {name}     {folder}")


def _size(num_bytes: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if num_bytes >= size:
            return f"{num_bytes / size:.1f} {unit}"
    return f"{num_bytes} bytes"


def _lines() -> Tell:
    """A line every few seconds, where nobody watches a bar."""
    last = time.monotonic()

    def tell(stage: str, done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _SECONDS:
            last = time.monotonic()
            unit = 1e9 if stage == "writing" else 1
            note(f"{stage}: {done / unit:.4g} of {total / unit:.4g} {_WHAT[stage]}")

    return tell


def _bar() -> "Progress | None":
    """None where `rich` is not installed."""
    try:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
    except ImportError:
        return None
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)
