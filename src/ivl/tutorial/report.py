"""The story's page, `report.html` in its folder: written after every step, so that it is there when one fails.

In: a `Story` and its `Record`. Out: the file. Knows no HTML.
"""

from pathlib import Path

from ivl.errors import InputError
from ivl.tutorial.figures import read_chats, read_figures, read_runs
from ivl.tutorial.page import Tale, render_page
from ivl.tutorial.record import Record
from ivl.tutorial.step import Story

PAGE = "report.html"


def write_report(story: Story, record: Record) -> Path:
    """Write the page; its path. Raises InputError where it cannot be written, DataError for damaged results."""
    tale = Tale(
        story=story,
        record=record,
        chats=read_chats(story, record),
        runs=read_runs(story),
        food=read_figures(story.food_results),
        general=None if story.general_results is None else read_figures(story.general_results),
    )
    path, partial = story.out / PAGE, story.out / f".{PAGE}.partial"
    try:
        partial.write_bytes(render_page(tale).encode("utf-8", "replace"))
        partial.replace(path)
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be written: {error.strerror}; name another --out") from None
    return path
