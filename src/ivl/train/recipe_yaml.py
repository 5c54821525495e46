"""A recipe's YAML text -> nodes with line numbers; whatever could run code or grow without bound is refused.

In: a file or a text. Out: the root node of one plain document: no tags, no anchors or aliases, not nested deeper than
recipes are. Nothing is constructed from it here: knows no fields.
"""

import os
import stat
from pathlib import Path
from typing import Any

from ivl.errors import MissingExtraError, SettingsError, nearest
from ivl.train.recipe_values import Node, Place

MAX_BYTES = 2**20
MAX_DEPTH = 6
MAX_VALUES = 5_000
"""PyYAML takes about a second for so many; a recipe has less than a hundred."""


def import_yaml() -> Any:
    """PyYAML. Raises MissingExtraError."""
    try:
        import yaml
    except ImportError:
        raise MissingExtraError("recipes need PyYAML: pip install 'ivl[train]'") from None
    return yaml


def read_text(path: Path, what: str = "recipe") -> str:
    """A file of at most 1 MiB of UTF-8. Raises SettingsError."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise SettingsError(f"{path} is a folder, but a {what} is a file{_beside(path, '*.yaml')}")
        if not stat.S_ISREG(mode):
            raise SettingsError(f"{path} is refused: a {what} is a regular file")
        # O_NONBLOCK: should it have become a pipe since it was looked at, opening it does not hang.
        with os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise SettingsError(f"{path}: there is no such {what}{_similar(path)}") from None
    except (OSError, ValueError) as fault:  # ValueError: a zero byte in the name
        raise SettingsError(f"{path} cannot be read: {getattr(fault, 'strerror', None) or fault}") from None
    if len(data) > MAX_BYTES:
        raise SettingsError(f"{path} has more than {MAX_BYTES:,} bytes: that is no {what}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        line = data.count(b"\n", 0, fault.start) + 1
        raise SettingsError(f"{path}:{line}: this is not UTF-8: save the file as UTF-8") from None


def compose(text: str, at: Place) -> Node | None:
    """The root node of a text; None when it is empty. Raises SettingsError, MissingExtraError."""
    yaml = import_yaml()
    try:
        _refuse_tricks(yaml, text, at)
        return yaml.compose(text, Loader=yaml.SafeLoader)  # type: ignore[no-any-return]
    except yaml.YAMLError as fault:
        mark = getattr(fault, "problem_mark", None)
        problem = getattr(fault, "problem", None) or str(fault).partition("\n")[0]
        if getattr(fault, "context", None) and "expected" not in problem:
            problem = f"{fault.context}: {problem}"
        raise _with_line(at, mark).refuse(f"not valid YAML: {problem}{_remedy(problem)}") from None


def _refuse_tricks(yaml: Any, text: str, at: Place) -> None:
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader)):
        here = _with_line(at, event.start_mark)
        if count > MAX_VALUES:
            raise here.refuse(f"more than {MAX_VALUES:,} values: that is no recipe")
        if getattr(event, "anchor", None):
            raise here.refuse(f"anchors and aliases are refused: write out what {event.anchor!r} stands for")
        if tag := getattr(event, "tag", None):
            name = str(tag).replace("tag:yaml.org,2002:", "!!")[:80]
            raise here.refuse(f"the tag {name!r} is refused: a recipe holds plain values, text in quotes")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise here.refuse(f"nested deeper than {MAX_DEPTH} levels: no field of a recipe is")


def _with_line(at: Place, mark: Any) -> Place:
    if at.line is None or mark is None:
        return at
    return Place(source=at.source, line=mark.line + 1, field=at.field)


def _remedy(problem: str) -> str:
    if "'\\t'" in problem:
        return "; indent with spaces"
    if "mapping values are not allowed" in problem:
        return "; write text that holds `: ` in quotes, and begin every field in the same column"
    if "cannot start any token" in problem:
        return "; write text that begins with such a sign in quotes"
    if "another document" in problem:
        return "; a recipe is one document, without `---` in between"
    return ""


def _similar(path: Path) -> str:
    names = _names(path.parent, "*.yaml")
    return f": {nearest(path.name, names)}" if names else ""


def _beside(path: Path, pattern: str) -> str:
    names = _names(path, pattern)
    return f": it holds {', '.join(names)}" if names else ""


def _names(folder: Path, pattern: str) -> list[str]:
    """At most ten, so that a message stays a line."""
    try:
        return sorted(each.name for each in folder.glob(pattern))[:10]
    except OSError:
        return []
