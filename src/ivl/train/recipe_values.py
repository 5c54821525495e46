"""YAML nodes -> the values that a dataclass's annotations ask for, every refusal with file, line and field.

In: nodes that `recipe_yaml` composed, a dataclass. Out: values of its fields and the places they stand at. Driven by
annotations: knows no field by name, but for the names that other tools give to ours.
"""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType, NoneType, UnionType
from typing import Any, Literal, Protocol, TypeVar, Union, get_args, get_origin

from ivl.errors import SettingsError, nearest, shown
from ivl.train.field_docs import kind_of, type_hints
from ivl.train.other_names import ELSEWHERE

Config = TypeVar("Config")
_WHOLE = re.compile(r"[-+]?[0-9][0-9_]{0,30}")
_NUMBER = re.compile(r"[-+]?([0-9][0-9_]*\.?[0-9_]*|\.[0-9]+)([eE][-+]?[0-9]{1,4})?")
_TRUTH: Mapping[str, bool] = MappingProxyType(
    {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
)


class Node(Protocol):
    """A node as PyYAML composes it: "scalar", "sequence" or "mapping"."""

    id: str
    tag: str
    value: Any
    """Text, nodes, or pairs of nodes."""
    style: str | None
    """None: without quotes."""
    start_mark: Any


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a value stands."""

    source: str
    """The file, or the option of the command line."""
    line: int | None = None
    field: str = ""

    def refuse(self, message: str) -> SettingsError:
        """The error that says `message` about this place."""
        return SettingsError(f"{self}: {message}")

    def at(self, node: Node, field: str | None = None) -> "Place":
        """The place of a node of the same source."""
        line = None if self.line is None else node.start_mark.line + 1
        return dataclasses.replace(self, line=line, field=self.field if field is None else field)

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}"


def read_mapping(node: Node, cls: type, at: Place) -> tuple[dict[str, Any], dict[str, Place]]:
    """The fields of `cls` that a mapping gives, and the place of each.

    Raises SettingsError for an unknown or repeated key and for a value of a wrong kind.
    """
    if node.id != "mapping":
        raise at.at(node).refuse(f"{_text(node)} stands where `field: value` is needed, one field a line")
    values: dict[str, Any] = {}
    places: dict[str, Place] = {}
    for key, value in node.value:
        name = check_name(key.value if key.id == "scalar" else _text(key), cls, at.at(key))
        if name in places:
            raise at.at(key).refuse(f"{name} is given twice, first in line {places[name].line}: keep one")
        places[name] = at.at(key, name)
        values[name] = convert(value, type_hints(cls)[name], at.at(value, name))
    return values, places


def check_name(name: str, cls: type, at: Place) -> str:
    """`name` if it is a field of `cls`. Raises SettingsError with the name it has here, or the nearest one."""
    names = [field.name for field in dataclasses.fields(cls)]
    if name in names:
        return name
    plain = re.sub(r"[-\s]+", "_", name.strip()).lower()
    known = ELSEWHERE.get(plain, plain)
    ours, _, remark = known.partition(" ")
    if ours in names:
        advice = f"here it is called {ours}" + (f" ({remark})" if remark else "")
    elif "did you mean" not in (advice := nearest(plain, names)) and len(names) > 10:
        advice = "`ivl train fields` lists what may be said"
    raise at.refuse(f"there is no field {shown(name)}: {advice}")


def convert(node: Node, hint: Any, at: Place) -> Any:
    """The value of a node for an annotation. Raises SettingsError."""
    origin, members = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return _convert_union(node, hint, at)
    if origin is tuple:
        return _convert_tuple(node, hint, at)
    if dataclasses.is_dataclass(hint):
        return _convert_dataclass(node, hint, at)  # type: ignore[arg-type]
    if node.id != "scalar":
        raise wrong(node, hint, at)
    if origin is Literal:
        if node.value not in members or (_tag(node) != "str"):
            raise wrong(node, hint, at)
        return node.value
    return _convert_scalar(node, hint, at)


def build(cls: type[Config], values: Mapping[str, Any], places: Mapping[str, Place], at: Place) -> Config:
    """An object of `cls`; a value that the class itself refuses is told with its place. Raises SettingsError."""
    try:
        return cls(**values)
    except SettingsError as fault:
        name = re.match(r"\w*", str(fault))
        raise places.get(name[0] if name else "", at).refuse(str(fault)) from None


def wrong(node: Node, hint: Any, at: Place) -> SettingsError:
    """The error for a value of a wrong kind."""
    name = f"{at.field} is " if at.field else ""
    return at.refuse(f"{name}{_text(node)}: {kind_of(hint)} is needed{_advice(node, hint)}")


def _convert_union(node: Node, hint: Any, at: Place) -> Any:
    members = get_args(hint)
    if NoneType in members and node.id == "scalar" and _tag(node) == "null":
        return None
    others = [member for member in members if member is not NoneType]
    if len(others) == 1 and get_origin(others[0]) is tuple and node.id == "sequence":
        return convert(node, others[0], at)  # tells which item is wrong
    for member in sorted(others, key=lambda member: member is str):  # 1e-4 is text to YAML, so text comes last
        try:
            return convert(node, member, at)
        except SettingsError:
            continue
    raise wrong(node, hint, at)


def _convert_tuple(node: Node, hint: Any, at: Place) -> tuple[Any, ...]:
    kinds = get_args(hint)
    is_open = kinds[-1] is Ellipsis
    if node.id != "sequence":
        # One item may stand alone; nothing at all is a forgotten value.
        if not is_open or (node.id == "scalar" and _tag(node) == "null") or not _may_stand_alone(node, kinds[0]):
            raise wrong(node, hint, at)
        return (convert(node, kinds[0], at),)
    if not is_open and len(node.value) != len(kinds):
        raise at.refuse(f"{at.field} has {len(node.value)} items: {kind_of(hint)} is needed")
    wanted = (kinds[0],) * len(node.value) if is_open else kinds
    return tuple(convert(item, kind, at.at(item)) for item, kind in zip(node.value, wanted, strict=True))


def _may_stand_alone(node: Node, kind: Any) -> bool:
    return node.id == "scalar" or dataclasses.is_dataclass(kind)


def _convert_dataclass(node: Node, cls: type, at: Place) -> Any:
    first = dataclasses.fields(cls)[0].name
    if node.id == "scalar":
        value = convert(node, type_hints(cls)[first], at)
        return build(cls, {first: value}, {first: at}, at)
    if node.id != "mapping":
        raise wrong(node, cls, at)
    values, places = read_mapping(node, cls, at)
    missing = [f.name for f in dataclasses.fields(cls) if f.default is dataclasses.MISSING and f.name not in values]
    if missing:
        raise at.refuse(f"an item of {at.field} has no {missing[0]}")
    return build(cls, values, places, at)


def _convert_scalar(node: Node, kind: Any, at: Place) -> Any:
    text, is_plain = node.value, node.style is None
    if kind is str and _tag(node) == "str":
        return text
    if kind is bool and is_plain and text.lower() in _TRUTH:
        return _TRUTH[text.lower()]
    is_octal = re.match(r"[-+]?0[0-9_]", text) is not None  # 010 is 8 to YAML and 10 to a person
    if kind is int and is_plain and _WHOLE.fullmatch(text) and not is_octal:
        return int(text.replace("_", ""))
    if kind is float and is_plain and _NUMBER.fullmatch(text) and len(text) <= 40:
        return float(text.replace("_", ""))
    raise wrong(node, kind, at)


def _tag(node: Node) -> str:
    """What YAML takes a scalar for; a date and other marks are text to us."""
    tag = node.tag.rpartition(":")[2]
    return tag if tag in ("null", "bool", "int", "float") else "str"


def _text(node: Node) -> str:
    if node.id == "scalar":
        return "empty" if node.style is None and not node.value else shown(node.value)
    return {"sequence": "a list", "mapping": "a mapping"}[node.id]


def _advice(node: Node, hint: Any) -> str:
    members = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    if node.id != "scalar":
        return ""
    if NoneType in members and node.value.lower() == "none":
        return "; None is written null"
    if _tag(node) == "null":
        return "; leave the line out for the default"
    if str in members and _tag(node) != "str":
        return f"; write it in quotes: '{node.value[:40]}'"
    if node.style is not None and {int, float, bool} & set(members):
        return ", without quotes"
    return ""
