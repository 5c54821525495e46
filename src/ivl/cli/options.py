"""Options that commands share. Their help is the docstring of the field that they set."""

import ast
import inspect
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar

import click

from ivl.types import EngineConfig, GenerationConfig

Command = TypeVar("Command", bound=Callable[..., Any])
Config = TypeVar("Config", GenerationConfig, EngineConfig)

_GENERATION: tuple[tuple[str, str, type], ...] = (
    ("--max-new-tokens", "max_new_tokens", int),
    ("--temperature", "temperature", float),
    ("--top-p", "top_p", float),
    ("--top-k", "top_k", int),
    ("--min-p", "min_p", float),
    ("--repetition-penalty", "repetition_penalty", float),
    ("--seed", "random_seed", int),
    ("--stop", "stop_words", str),
    ("--bad-word", "bad_words", str),
    ("--choice", "choice", str),
    ("--regex", "regex", str),
)
_ENGINE: tuple[tuple[str, str, type], ...] = (
    ("--device", "device", str),
    ("--dtype", "dtype", str),
    ("--session-len", "session_len", int),
    ("--quantization", "quantization", str),
)
_LISTS = {"stop_words", "bad_words", "choice"}


def generation_options(command: Command) -> Command:
    """Add the options of GenerationConfig."""
    return _add(command, GenerationConfig, _GENERATION)


def engine_options(command: Command) -> Command:
    """Add the options of EngineConfig."""
    return _add(command, EngineConfig, _ENGINE)


def picture_options(command: Command) -> Command:
    """Add the options of how pictures are read and cut: max_tiles, as_stored."""
    stored = "Read pictures as the official code does: not turned by their EXIF data, alpha dropped."
    command = click.option("--as-stored", is_flag=True, help=stored)(command)
    tiles = "Tiles a picture is cut into at most. [default: the model's own limit]"
    return click.option("--max-tiles", type=int, help=tiles)(command)


def build(config: type[Config], given: Mapping[str, Any]) -> Config:
    """A config from a command's options; those not given keep the field's default. Raises SettingsError."""
    names = {field.name for field in fields(config)} & given.keys()
    return config(**{name: given[name] for name in names if given[name] not in (None, ())})


def _add(command: Command, config: type, options: tuple[tuple[str, str, type], ...]) -> Command:
    helps = field_help(config)
    defaults = {field.name: field.default for field in fields(config)}
    for flag, name, kind in reversed(options):
        default, multiple = defaults[name], name in _LISTS
        text = helps[name].replace("\n", " ")
        if default is not None and default is not MISSING and default != "auto":
            text += f" [default: {default}]"
        if multiple:
            text += " May be given several times."
        command = click.option(flag, name, type=kind, multiple=multiple, help=text)(command)
    return command


def field_help(config: type) -> dict[str, str]:
    """The docstring of each field of a dataclass of this package, for the command line's help."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(config))).body
    assert isinstance(tree, ast.ClassDef), f"{config} is not a class"
    help_by_name: dict[str, str] = {}
    for line, after in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and isinstance(after, ast.Expr):
            help_by_name[line.target.id] = str(ast.literal_eval(after.value))
    return {f.name: help_by_name.get(f.name, "") for f in fields(config)}
