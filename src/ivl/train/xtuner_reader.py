"""A Python config file -> its values, without running it.

In: the text of an XTuner (mmengine) config. Out: each top-level name with its value and line. Only constants, names
defined before, simple arithmetic, f-strings, `os.path.join`, lists and `dict(...)` are followed; everything else
becomes `Unread`, and every statement that could change a value and was not followed is listed. Knows no setting by
name.
"""

import ast
import operator
import posixpath
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ivl.errors import SettingsError

MAX_LENGTH = 100_000
MAX_NUMBER = 1e30
_OPERATORS: tuple[tuple[type[ast.operator], Callable[[Any, Any], Any]], ...] = (
    (ast.Add, operator.add),
    (ast.Sub, operator.sub),
    (ast.Mult, operator.mul),
    (ast.Div, operator.truediv),
    (ast.FloorDiv, operator.floordiv),
    (ast.Mod, operator.mod),
)


class Reference(str):
    """A name that is not defined in the file, in full: `torch.optim.AdamW`."""

    __slots__ = ()


@dataclass(frozen=True)
class Unread:
    """An expression that could not be followed."""

    text: str


@dataclass(frozen=True)
class Item:
    """A value and the line it stands in; lists and dicts hold Items."""

    value: Any
    line: int


@dataclass(kw_only=True)
class Reading:
    """What a file says."""

    names: dict[str, Item] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    """Names that other values are made of."""
    skipped: list[tuple[int, str]] = field(default_factory=list)
    """Line and text of each statement that was not followed."""


def read_python(text: str, source: str) -> Reading:
    """The top-level values of a Python file. Raises SettingsError where it is no Python."""
    try:
        tree = ast.parse(text)
        return _Reader(text).read(tree)
    except SyntaxError as fault:
        raise SettingsError(f"{source}:{fault.lineno or 1}: this is not Python: {fault.msg}") from None
    except (RecursionError, MemoryError, ValueError):  # ValueError: a zero byte
        raise SettingsError(f"{source} is nested too deeply, or no text: it cannot be read") from None


class _Reader:
    def __init__(self, text: str) -> None:
        self.lines = re.split(r"\r\n|\r|\n", text)
        self.reading = Reading()
        self.imported: dict[str, str] = {}

    def read(self, tree: ast.Module) -> Reading:
        for statement in tree.body:
            self._statement(statement)
        return self.reading

    def _statement(self, node: ast.stmt) -> None:
        match node:
            case ast.Import(names=names):
                for alias in names:
                    root = alias.name.partition(".")[0]
                    self.imported[alias.asname or root] = alias.name if alias.asname else root
            case ast.ImportFrom(module=module, names=names, level=0):
                self.imported |= {alias.asname or alias.name: f"{module}.{alias.name}" for alias in names}
            case ast.Assign(targets=targets, value=value) if all(isinstance(each, ast.Name) for each in targets):
                item = self._item(value)
                self.reading.names |= {target.id: item for target in targets if isinstance(target, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                self.reading.names[name] = self._item(value)
            case ast.AugAssign(target=ast.Name(id=name), op=op, value=value):
                old = self.reading.names.get(name, Item(Unread(name), node.lineno))
                self.reading.names[name] = Item(self._combine(op, old, self._item(value), node), node.lineno)
            case ast.Expr(value=ast.Constant()) | ast.Pass():
                pass
            case _:
                self._skip(node)

    def _skip(self, node: ast.stmt) -> None:
        """What a statement that is not followed may have assigned is no longer known."""
        self.reading.skipped.append((node.lineno, self._text(node)))
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store | ast.Del):
                self.reading.names[inner.id] = Item(Unread(self._text(node)), node.lineno)

    def _item(self, node: ast.expr) -> Item:
        return Item(self._value(node), node.lineno)

    def _value(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=value) if value is None or isinstance(value, bool | int | float | str):
                return value
            case ast.Name(id=name):
                return self._look_up(name)
            case ast.Attribute(value=base, attr=attr):
                owner = self._value(base)
                return Reference(f"{owner}.{attr}") if isinstance(owner, Reference) else self._unread(node)
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return [self._item(item) for item in items]
            case ast.Dict(keys=keys, values=values):
                return self._dict(
                    node, [(key and self._value(key), value) for key, value in zip(keys, values, strict=True)]
                )
            case ast.Call():
                return self._call(node)
            case ast.BinOp(left=left, op=op, right=right):
                return self._combine(op, self._item(left), self._item(right), node)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                number = self._value(operand)
                return -number if _is_number(number) else self._unread(node)
            case ast.JoinedStr(values=parts):
                return self._format(node, parts)
            case ast.Subscript(value=base, slice=index):
                return self._subscript(node, self._value(base), self._value(index))
        return self._unread(node)

    def _look_up(self, name: str) -> Any:
        if name in self.reading.names:
            self.reading.used.add(name)
            return self.reading.names[name].value
        return Reference(self.imported.get(name, name))

    def _call(self, node: ast.Call) -> Any:
        called = self._value(node.func)
        if not isinstance(called, Reference):
            return self._unread(node)
        if called == "dict" and not node.args:
            return self._dict(node, [(each.arg, each.value) for each in node.keywords])
        if called in ("os.path.join", "posixpath.join") and node.args and not node.keywords:
            parts = [self._value(each) for each in node.args]
            if all(_is_text(part) for part in parts):
                return posixpath.join(*parts)
        return self._unread(node)

    def _dict(self, node: ast.expr, pairs: list[tuple[Any, ast.expr]]) -> Any:
        """A dict with text keys; a pair without a key is `**other`."""
        values: dict[str, Item] = {}
        for key, expression in pairs:
            item = self._item(expression)
            if key is None and isinstance(item.value, dict):
                values |= item.value
            elif _is_text(key):
                values[key] = item
            else:
                return self._unread(node)
        return values

    def _combine(self, op: ast.operator, left: Item, right: Item, node: ast.AST) -> Any:
        a, b = left.value, right.value
        function = next((function for kind, function in _OPERATORS if isinstance(op, kind)), None)
        numbers = _is_number(a) and _is_number(b)
        joined = isinstance(op, ast.Add) and (
            (_is_text(a) and _is_text(b)) or (isinstance(a, list) and isinstance(b, list))
        )
        if function is None or not (numbers or joined):
            return self._unread(node)
        try:
            result = function(a, b)
        except (ArithmeticError, ValueError):
            return self._unread(node)
        # Doubling a text or squaring a number line by line must not fill the memory.
        fits = abs(result) <= MAX_NUMBER if numbers else len(result) <= MAX_LENGTH
        return result if fits else self._unread(node)

    def _format(self, node: ast.expr, parts: list[ast.expr]) -> Any:
        texts = list(self._formatted(parts))
        if None in texts or sum(len(text or "") for text in texts) > MAX_LENGTH:
            return self._unread(node)
        return "".join(text or "" for text in texts)

    def _formatted(self, parts: list[ast.expr]) -> Iterator[str | None]:
        for part in parts:
            if isinstance(part, ast.FormattedValue):
                value = self._value(part.value)
                is_plain = part.format_spec is None and part.conversion == -1
                yield str(value) if is_plain and (_is_text(value) or _is_number(value)) else None
            else:
                yield str(self._value(part))

    def _subscript(self, node: ast.expr, base: Any, index: Any) -> Any:
        if isinstance(base, dict) and _is_text(index) and index in base:
            return base[index].value
        if isinstance(base, list) and isinstance(index, int) and -len(base) <= index < len(base):
            return base[index].value
        return self._unread(node)

    def _unread(self, node: ast.AST) -> Unread:
        return Unread(self._text(node))

    def _text(self, node: ast.AST) -> str:
        """The node's first line, shortened."""
        first, start = getattr(node, "lineno", 1), getattr(node, "col_offset", 0)
        stop = getattr(node, "end_col_offset", None) if getattr(node, "end_lineno", None) == first else None
        line = self.lines[first - 1] if first <= len(self.lines) else ""
        text = line.encode("utf-8", "replace")[start:stop].decode("utf-8", "replace").strip()
        return text if len(text) <= 60 else f"{text[:57]}..."


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and not isinstance(value, Reference)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
