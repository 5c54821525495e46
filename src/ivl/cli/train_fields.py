"""`ivl train fields`: every field of a recipe with its help, kind and default, for a terminal or for docs."""

import json
import shutil
import textwrap
from collections.abc import Iterator

import click

from ivl.cli.terminal import show

EPILOG = """\b
Examples:
  ivl train fields
  ivl train fields lr                      one field
  ivl train fields --markdown              the tables of docs/training.md"""


@click.command(epilog=EPILOG)
@click.argument("names", nargs=-1, metavar="[FIELD]...")
@click.option("--markdown", is_flag=True, help="Print tables in Markdown.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def fields(names: tuple[str, ...], markdown: bool, as_json: bool) -> None:
    """Show what a recipe may say: every field, what it takes, its default.

    With FIELD, only those fields.
    """
    from ivl.train.recipe import check_names, recipe_groups

    wanted = check_names(names)
    groups = [
        (title, [each for each in group if not wanted or each.name in wanted]) for title, group in recipe_groups()
    ]
    if as_json:
        show(json.dumps([vars(each) for _, group in groups for each in group], ensure_ascii=False, indent=2))
        return
    rows = markdown_lines if markdown else _lines
    for title, group in groups:
        for line in rows(title, [(each.name, each.kind, each.default, each.help) for each in group]) if group else ():
            show(line)


def markdown_lines(title: str, rows: list[tuple[str, str, str, str]]) -> Iterator[str]:
    """A heading and a table of (name, kind, default, help)."""
    yield f"### {title.rstrip('.')}"
    yield ""
    yield "| field | takes | default | meaning |"
    yield "|---|---|---|---|"
    for name, kind, default, meaning in rows:
        yield f"| `{name}` | {kind} | `{default}` | {meaning} |".replace("\\", "\\\\")
    yield ""


def _lines(title: str, rows: list[tuple[str, str, str, str]]) -> Iterator[str]:
    width = min(shutil.get_terminal_size().columns, 110)
    yield click.style(title, bold=True)
    for name, kind, default, meaning in rows:
        told = "required" if default == "required" else f"default {default}"
        yield f"  {click.style(name, fg='cyan')}  {kind}; {told}"
        yield from textwrap.wrap(meaning, width, initial_indent="      ", subsequent_indent="      ")
    yield ""
