"""What a config's fields mean: their docstrings, groups, defaults and kinds, read from the dataclass itself.

In: a dataclass of this package. Out: plain text about it, for help, comments of written recipes and error messages.
Knows no files of recipes and no field by name.
"""

import ast
import dataclasses
import functools
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType, NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

_WORDS: Mapping[Any, str] = MappingProxyType(
    {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
)


@dataclass(frozen=True, kw_only=True)
class FieldDoc:
    """One field, as help shows it."""

    name: str
    help: str
    kind: str
    """What a value must be, in words."""
    default: str
    """As YAML has it; "required" where there is none."""


@functools.cache
def field_docs(cls: type) -> Mapping[str, str]:
    """Each field's docstring on one line, inherited fields included; read from the source once.

    Empty texts where the source is not there (a package of compiled files only).
    """
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if dataclasses.is_dataclass(base):
            docs |= _own_docs(base)
    return MappingProxyType({field.name: docs.get(field.name, "") for field in _fields(cls)})


def field_groups(cls: type) -> Iterator[tuple[str, tuple[FieldDoc, ...]]]:
    """The fields by the dataclass that brings them, each group with that class's docstring; a class without bases
    is one group."""
    bases = [base for base in cls.__bases__ if dataclasses.is_dataclass(base)] or [cls]
    docs, hints = field_docs(cls), type_hints(cls)
    for base in bases:
        described = [
            FieldDoc(name=f.name, help=in_yaml(docs[f.name]), kind=kind_of(hints[f.name]), default=_default(f))
            for f in _fields(base)
        ]
        yield (base.__doc__ or "").strip().partition("\n")[0], tuple(described)


@functools.cache
def type_hints(cls: type) -> Mapping[str, Any]:
    """The annotation of each field."""
    return MappingProxyType(get_type_hints(cls))


def kind_of(hint: Any) -> str:
    """What a value for this annotation must be, in words: "a whole number or null"."""
    if hint in _WORDS:
        return _WORDS[hint]
    if hint is NoneType:
        return "null"
    origin, members = get_origin(hint), get_args(hint)
    if origin is Literal:
        return _either([str(member) for member in members])
    if origin in (Union, UnionType):
        return _either([kind_of(member) for member in members])
    if origin is tuple and members[-1] is not Ellipsis:
        return f"a list of {len(members)}: " + ", ".join(kind_of(member) for member in members)
    if origin is tuple:
        return f"a list of {kind_of(members[0])}"
    if dataclasses.is_dataclass(hint):
        first = dataclasses.fields(hint)[0].name
        return f"a {first} or {{{first}: ..., ...}}"
    raise AssertionError(f"no words for the annotation {hint}")


def in_yaml(text: str) -> str:
    """A docstring for a reader of YAML: None is written null there."""
    return re.sub(r"\b(None|True|False)\b", lambda found: "null" if found[0] == "None" else found[0].lower(), text)


def _either(words: list[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _fields(cls: type) -> tuple["dataclasses.Field[Any]", ...]:
    return dataclasses.fields(cls)


def _default(field: "dataclasses.Field[Any]") -> str:
    if field.default is dataclasses.MISSING:
        return "required"
    return as_yaml(field.default)


def as_yaml(value: object) -> str:
    """A default as YAML writes it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return f"[{', '.join(as_yaml(item) for item in value)}]"
    return '""' if value == "" else str(value)


def _own_docs(cls: type) -> dict[str, str]:
    try:
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    except OSError:
        return {}
    assert isinstance(tree, ast.ClassDef), f"{cls} is not a class"
    docs: dict[str, str] = {}
    for line, after in zip(tree.body, tree.body[1:], strict=False):
        is_field = isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)
        if is_field and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            docs[line.target.id] = " ".join(str(after.value.value).split())  # type: ignore[attr-defined]
    return docs
