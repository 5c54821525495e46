"""Recipes: a YAML file and the command line's overrides -> a `TrainConfig`, and back.

In: a path, `name=value` texts. Out: a config that has checked itself, or one line that names file, line and field.
Never reads the environment, never runs anything. The fields are those of the dataclass: none is listed here.
"""

import dataclasses
import os
import textwrap
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from ivl.data.settings import DataSettings, DataSource
from ivl.errors import SettingsError
from ivl.train.config import OptimSettings, RunSettings, TrainConfig, TuneSettings
from ivl.train.field_docs import FieldDoc, field_docs, field_groups, in_yaml, type_hints
from ivl.train.recipe_values import Place, build, check_name, convert, read_mapping
from ivl.train.recipe_yaml import compose, import_yaml, read_text

GROUPS = (TuneSettings, DataSettings, OptimSettings, RunSettings)
"""The order in which a recipe is written."""


def load_recipe(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> TrainConfig:
    """The recipe in a YAML file; `overrides` such as "lr=1e-4" win over it, later ones over earlier ones.

    Raises SettingsError, which names file and line, or the override; MissingExtraError without PyYAML.
    """
    file = Place(source=str(path), line=1)
    text = read_text(Path(path))
    node = compose(text, file)
    if node is None:
        raise SettingsError(f"{path} is empty: a recipe has one `field: value` a line; `ivl train fields` lists them")
    values, places = read_mapping(node, TrainConfig, file)
    for override in overrides:
        name, value, place = _read_override(override)
        values[name], places[name] = value, place
    return build(TrainConfig, values, places, Place(source=str(path)))


def for_run(
    config: TrainConfig, recipe: str | os.PathLike[str], *, out: Path | None = None, resume: bool = False
) -> TrainConfig:
    """The config as a run takes it: with data and a work_dir (`out`, its own, or runs/ and the recipe's name).
    Raises SettingsError."""
    if not config.data_path:
        raise SettingsError(f"{recipe} does not say data_path: add it there, or give --set data_path=...")
    work_dir = str(out) if out is not None else config.work_dir or str(Path("runs") / Path(recipe).stem)
    return dataclasses.replace(config, work_dir=work_dir, resume=resume or config.resume)


def recipe_groups() -> Iterator[tuple[str, tuple[FieldDoc, ...]]]:
    """Every field, in groups with a title, in the order in which a recipe is written; last what an item of data_path
    takes."""
    for group in GROUPS:
        yield from field_groups(group)
    yield from field_groups(DataSource)


def check_names(names: Sequence[str]) -> set[str]:
    """Names of fields. Raises SettingsError for one that is none, with the name it has here or the nearest one."""
    sources = {field.name for field in dataclasses.fields(DataSource)}
    return {name if name in sources else check_name(name, TrainConfig, Place(source="fields")) for name in names}


def dump_recipe(config: TrainConfig, comments: bool = True, *, names: Collection[str] | None = None) -> str:
    """YAML that `load_recipe` reads back to an equal config; with comments, every field's docstring above it.

    names: only these fields; the others must have their defaults for the text to be read back equal.
    """
    docs, blocks = field_docs(TrainConfig), []
    for group in GROUPS:
        lines = [f"# {(group.__doc__ or '').strip()}"] if comments else []
        stated = [f.name for f in dataclasses.fields(group) if names is None or f.name in names]
        for name in stated:
            if comments and docs[name]:
                lines += textwrap.wrap(in_yaml(docs[name]), 110, initial_indent="# ", subsequent_indent="# ")
            lines.append(_dump(name, getattr(config, name)))
        if stated:
            blocks.append("\n".join(lines))
    return ("\n\n" if comments else "\n").join(blocks) + "\n"


def _read_override(text: str) -> tuple[str, Any, Place]:
    name, given, value = text.partition("=")
    at = Place(source=f"--set {text if len(text) <= 60 else text[:57] + '...'}")
    if not given:
        raise at.refuse("name=value is needed, such as lr=1e-4")
    name = check_name(name.strip(), TrainConfig, at)
    at = dataclasses.replace(at, field=name)
    node = compose(value, at)
    if node is None:
        raise at.refuse("there is no value after the =; null means none")
    return name, convert(node, type_hints(TrainConfig)[name], at), at


def _dump(name: str, value: Any) -> str:
    plain = _plain(value)
    if isinstance(plain, list) and any(isinstance(item, dict) for item in plain):
        return "\n".join([f"{name}:", *(f"  - {_flow(item)}" for item in plain)])
    return f"{name}: {_flow(plain)}"


def _flow(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_flow(item)}' for key, item in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(_flow(item) for item in value)}]"
    # PyYAML's other styles write some line breaks as they are and read them as spaces.
    style = '"' if isinstance(value, str) and not value.isprintable() else None
    items = import_yaml().safe_dump(
        [value], default_flow_style=True, default_style=style, allow_unicode=True, width=10**9
    )
    return str(items).strip()[1:-1]


def _plain(value: Any) -> Any:
    """What YAML can hold, in the shortest form that is read back equal."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return int(value)
    if isinstance(value, DataSource):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        told = {f.name: _plain(fields[f.name]) for f in dataclasses.fields(value) if fields[f.name] != f.default}
        return value.path if set(told) == {"path"} else told
    if isinstance(value, tuple):
        items = [_plain(item) for item in value]
        is_one_path = len(items) == 1 and isinstance(value[0], DataSource) and isinstance(items[0], str)
        return items[0] if is_one_path else items
    return value
