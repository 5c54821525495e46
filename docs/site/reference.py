"""The reference of Python names, from the docstrings in the source, which is read and never imported.

In: a name such as `ivl.pipeline`. Out: Markdown with MyST's directives of the Python domain: signature, docstring,
fields and methods. Knows no page and no theme.
"""

import ast
import inspect
import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

_SHOWN_SPECIAL = ("__call__",)
_Function = ast.FunctionDef | ast.AsyncFunctionDef


class Reference:
    """All names below one folder of packages."""

    def __init__(self, source: Path) -> None:
        self._source = source
        self._parsed = cache(lambda path: ast.parse(path.read_text("utf-8")))

    def __call__(self, name: str) -> str:
        """What stands for `<!-- api: NAME -->`; KeyError for a name that the source does not have."""
        home, node = self._find(name)
        if isinstance(node, ast.Module):
            return f"```text\n{_tree(ast.get_docstring(node) or '')}\n```\n"
        if isinstance(node, ast.ClassDef):
            return _class(node, name, "exception" if home == "ivl.errors" else "class")
        return _function(node, name, "function")

    def errors(self) -> list[str]:
        """The names of the tree of exceptions."""
        _, module = self._find("ivl.errors")
        return [node.name for node in ast.walk(module) if isinstance(node, ast.ClassDef)]

    def _find(self, name: str) -> tuple[str, ast.Module | ast.ClassDef | _Function]:
        """Where a name is defined, through the imports that lead there, and its definition."""
        module, _, last = name.rpartition(".")
        for node in ast.walk(self._module(module)) if module else ():
            if isinstance(node, ast.ClassDef | _Function) and node.name == last:
                return module, node
            if isinstance(node, ast.ImportFrom) and any((each.asname or each.name) == last for each in node.names):
                original = next(each.name for each in node.names if (each.asname or each.name) == last)
                return self._find(f"{node.module}.{original}")
        return name, self._module(name)

    def _module(self, name: str) -> ast.Module:
        path = self._source.joinpath(*name.split("."))
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                return self._parsed(file)
        raise KeyError(name)


def _tree(docstring: str) -> str:
    """The drawn part of a module's docstring: its indented lines."""
    return "\n".join(line[4:] for line in docstring.splitlines() if line.startswith("    "))


def _directive(kind: str, signature: str, options: list[str], body: str) -> str:
    fence = "`" * (max((len(ticks) for ticks in re.findall(r"^`{3,}", body, re.MULTILINE)), default=2) + 1)
    head = "".join(f":{option}\n" for option in options)
    return f"{fence}{{py:{kind}}} {signature}\n{head}\n{body.strip()}\n{fence}\n"


def _function(function: _Function, name: str, kind: str) -> str:
    given = function.args
    if kind == "method":  # without self
        given = ast.arguments(given.posonlyargs, given.args[1:], given.vararg, given.kwonlyargs, given.kw_defaults)
        given.kwarg, given.defaults = function.args.kwarg, function.args.defaults
    signature = f"{name}({_flat(given)})"
    if function.returns is not None:
        signature += f" -> {_flat(function.returns)}"
    options = ["async:"] if isinstance(function, ast.AsyncFunctionDef) else []
    parameters = {each.arg for each in (*function.args.args, *function.args.kwonlyargs)}
    return _directive(kind, signature, options, prose(ast.get_docstring(function), parameters))


def _class(target: ast.ClassDef, name: str, kind: str) -> str:
    is_dataclass = any("dataclass" in ast.unparse(each) for each in target.decorator_list)
    parts = [prose(ast.get_docstring(target), set())]
    for node, docstring in _documented(target):
        if isinstance(node, _Function):
            if _is_public(node.name) and ast.get_docstring(node):
                parts.append(_member(node))
        elif _is_public(_attribute_name(node)) and (docstring or is_dataclass):
            parts.append(_attribute(node, docstring))
    return _directive(kind, name, [], "\n\n".join(parts))


def _documented(target: ast.ClassDef) -> Iterator[tuple[_Function | ast.AnnAssign | ast.Assign, str | None]]:
    """A class's fields, the attributes that its __init__ sets, and its methods, each with the string below it."""
    for node, below in pairwise([*target.body, ast.Pass()]):
        if isinstance(node, ast.AnnAssign | _Function):
            yield node, _string(below)
        if isinstance(node, _Function) and node.name == "__init__":
            for inner, below_it in pairwise([*node.body, ast.Pass()]):
                if isinstance(inner, ast.AnnAssign | ast.Assign) and _string(below_it):
                    yield inner, _string(below_it)


def _string(node: ast.stmt) -> str | None:
    value = node.value if isinstance(node, ast.Expr) else None
    return inspect.cleandoc(value.value) if isinstance(value, ast.Constant) and isinstance(value.value, str) else None


def _is_public(name: str) -> bool:
    return not name.startswith("_") or name in _SHOWN_SPECIAL


def _member(function: _Function) -> str:
    decorators = [ast.unparse(each) for each in function.decorator_list]
    if "property" not in decorators and "cached_property" not in decorators:
        return _function(function, function.name, "method")
    options = [f"type: {_flat(function.returns)}"] if function.returns is not None else []
    return _directive("property", function.name, options, prose(ast.get_docstring(function), set()))


def _attribute_name(node: ast.AnnAssign | ast.Assign) -> str:
    target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
    return ast.unparse(target).removeprefix("self.")


def _attribute(node: ast.AnnAssign | ast.Assign, docstring: str | None) -> str:
    options = []
    if isinstance(node, ast.AnnAssign):
        options.append(f"type: {_flat(node.annotation)}")
    if node.value is not None and isinstance(node, ast.AnnAssign) and not ast.unparse(node.value).startswith("field("):
        options.append(f"value: {_flat(node.value)}")
    return _directive("attribute", _attribute_name(node), options, prose(docstring, set()))


def _flat(node: ast.AST) -> str:
    """Code on one line, with spaces around the = of a default that has an annotation."""
    if not isinstance(node, ast.arguments):
        return ast.unparse(node)
    return re.sub(r"(: [^=,]*(?:\[[^\]]*\][^=,]*)*)=", r"\1 = ", ast.unparse(node))


def prose(docstring: str | None, parameters: set[str]) -> str:
    """A docstring as Markdown: what a parameter means becomes an item, and nothing is taken for markup but code."""
    paragraphs = re.split(r"\n{2,}", docstring or "")
    return "\n\n".join(_paragraph(each, parameters) for each in paragraphs)


def _paragraph(text: str, parameters: set[str]) -> str:
    if text.startswith("    "):
        return f"```text\n{inspect.cleandoc(text)}\n```"

    def item(found: re.Match[str]) -> str:
        names = found[1].split(", ")
        if not parameters.issuperset(names):
            return found[0]
        return "\n- " + ", ".join(f"`{name}`" for name in names) + ": "

    text = re.sub(r"^(?=Raises )", "\n", text, flags=re.MULTILINE)
    text = re.sub(r"(?:^|(?<=\. ))(\w+(?:, \w+)*): ", item, text, flags=re.MULTILINE)
    return "\n".join(_plain(line) for line in text.splitlines()).strip()


def _plain(line: str) -> str:
    """A line in which only code spans are markup."""
    parts = re.split(r"(`[^`]+`)", line)
    for index in range(0, len(parts), 2):
        start = "- " if parts[index].startswith("- ") else ""
        parts[index] = start + re.sub(r"([*<\[\]\\]|(?<!\w)_)", r"\\\1", parts[index].removeprefix("- "))
    return "".join(parts)
