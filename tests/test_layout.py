"""The house keeps its rules: who imports whom, how long things are, and what stands nowhere at all.

Each check takes one module's syntax tree and gives its violations as lines; the last tests plant violations
and see that they are found.
"""

import ast
import io
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import ivl
from ivl.cli.main import COMMANDS

SOURCE = Path(ivl.__file__).parent
ANYONE_MAY_IMPORT = {"types", "errors", "_version"}
# A room -> the rooms or modules it may import besides itself and those above.
MAY_IMPORT = {
    "errors": set(),
    "types": set(),
    "hub": set(),
    "zoo": set(),
    "model": set(),
    "processing": {"model.config", "model.config_io"},
    "engine": {"model"},
    "session": {"processing", "engine", "model", "hub", "zoo"},
    "server": {"session", "explain"},
    "ui": {"session", "explain", "hub", "zoo", "server.settings", "server.keys"},
    "data": {"processing", "hub", "zoo"},
    "evals": {"session", "data", "hub", "zoo"},
    "train": {"model", "data"},
    "export": {"model", "processing", "hub", "zoo"},
    "explain": {"processing", "session", "model"},
    "tutorial": {"data", "evals", "zoo", "train.metrics", "train.curves", "train.report_chart"},
    "cli": {"*"},
    "__main__": {"cli"},
    "__init__": {"model", "processing", "session"},
    "_version": set(),
}
# A third-party package -> the rooms that may import it.
AT_HOME = {
    "gradio": {"ui"},
    "fastapi": {"server"},
    "starlette": {"server"},
    "uvicorn": {"server", "ui"},
    "pydantic": {"server"},
    "datasets": {"data"},
    "click": {"cli"},
    "tokenizers": {"processing"},
    "sentencepiece": {"processing"},
    "triton": {"engine"},
    "llguidance": {"session"},
    "matplotlib": {"explain", "train"},
    "rich": {"train", "data", "cli"},
    "yaml": {"train"},
    "accelerate": {"train"},
    "peft": {"train"},
    "bitsandbytes": {"train"},
    "torch": {
        "model",
        "processing",
        "engine",
        "session",
        "data",
        "train",
        "evals",
        "export",
        "explain",
        "types",
    },
}
NOWHERE = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "transformers"}
# The engine's synchronous core can be read in an evening: what is neither kernels and their callers nor its thread.
NOT_THE_CORE = {"kernels", "gpu_attention", "triton_backend", "cuda_graphs", "worker", "stream"}
LONGEST_CORE = 1200
LONGEST_FILE, LONGEST_FUNCTION, USUAL_FUNCTION, LONGEST_COMMAND = 300, 60, 30, 100


@dataclass(frozen=True, kw_only=True)
class Module:
    """One file of the package."""

    name: str
    """Dotted, without "ivl.": "model.vit"; a package's own file is "model"."""
    is_package: bool
    text: str

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def room(self) -> str:
        return self.name.split(".")[0]


@dataclass(frozen=True, kw_only=True)
class Import:
    """One imported module, by its full dotted name."""

    target: str
    line: int
    is_deferred: bool
    """Inside a function, or for type checkers only."""


def read_modules(source: Path) -> list[Module]:
    modules = []
    for path in sorted(source.rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        is_package = parts[-1] == "__init__" and len(parts) > 1
        name = ".".join(parts[:-1] if is_package else parts)
        modules.append(Module(name=name, is_package=is_package, text=path.read_text("utf-8")))
    return modules


def find_imports(module: Module) -> list[Import]:
    """Every import of a module: in functions, for type checkers, relative, by import_module("...") too."""
    found = []
    for node, is_deferred in _walk(module.tree, False):
        targets: list[str] = []
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(module, node)
            targets = [_member(alias.name) for alias in node.names] if base == "ivl" else [base]
        elif isinstance(node, ast.Call) and _called(node).endswith("import_module"):
            name = node.args[0] if node.args else None
            targets = [str(name.value) if isinstance(name, ast.Constant) else "a computed name"]
        found += [Import(target=each, line=getattr(node, "lineno", 0), is_deferred=is_deferred) for each in targets]
    return found


def import_violations(module: Module) -> list[str]:
    return [
        f"{module.name}:{each.line} imports {each.target}" for each in find_imports(module) if not _may(module, each)
    ]


def size_violations(module: Module) -> list[str]:
    found, lines = [], len(module.text.splitlines())
    limit = LONGEST_COMMAND if module.name in {f"cli.{name}" for name in (*COMMANDS, "main")} else LONGEST_FILE
    if lines > limit:
        found.append(f"{module.name} has {lines} lines, at most {limit} are allowed")
    for name, length in function_lengths(module):
        if length > LONGEST_FUNCTION:
            found.append(f"{module.name}.{name} has {length} lines, at most {LONGEST_FUNCTION} are allowed")
    return found


def function_lengths(module: Module) -> list[tuple[str, int]]:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(module.tree) if isinstance(node, functions)]
    return [(node.name, (node.end_lineno or node.lineno) - node.lineno + 1) for node in nodes]


def num_code_lines(module: Module) -> int:
    """Lines that hold code: no blank lines, comments and docstrings."""
    tree, lines = module.tree, set()
    for token in tokenize.generate_tokens(io.StringIO(module.text).readline):
        if token.type not in (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT):
            lines.update(range(token.start[0], token.end[0] + bool(token.string)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def word_violations(module: Module) -> list[str]:
    """Code that could run or unpickle what a stranger wrote, hidden state, and promises instead of code."""
    found = []
    for node in ast.walk(module.tree):
        wrong = _wrong_call(node) if isinstance(node, ast.Call) else ""
        if isinstance(node, ast.Global):
            wrong = "global"
        if getattr(node, "id", getattr(node, "attr", getattr(node, "arg", None))) == "trust_remote_code":
            wrong = "trust_remote_code"
        if isinstance(node, ast.Name) and node.id == "NotImplementedError":
            wrong = "NotImplementedError"
        if wrong:
            found.append(f"{module.name}:{getattr(node, 'lineno', 0)} has {wrong}")
    found += [f"{module.name} has the word {word}" for word in ("TODO", "FIXME", "XXX") if word in module.text]
    if module.name.split(".")[-1] == "utils":
        found.append(f"{module.name}: name a file by what it does")
    if not ast.get_docstring(module.tree) and module.name != "_version":
        found.append(f"{module.name} does not open with its contract")
    return found


def _walk(node: ast.AST, is_deferred: bool) -> Iterator[tuple[ast.AST, bool]]:
    yield node, is_deferred
    for child in ast.iter_child_nodes(node):
        in_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for_types = isinstance(node, ast.If) and child in node.body and "TYPE_CHECKING" in ast.dump(node.test)
        yield from _walk(child, is_deferred or in_function or for_types)


def _absolute(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = ["ivl", *module.name.split(".")]
    base = parts[: len(parts) - node.level + module.is_package]
    return ".".join([*base, *([node.module] if node.module else [])])


def _member(name: str) -> str:
    """Where `from ivl import name` really leads."""
    return f"ivl.{name}" if name in MAY_IMPORT else ivl._HOME.get(name, "ivl")


def _may(module: Module, each: Import) -> bool:
    package, _, inner = each.target.partition(".")
    if package != "ivl":
        homes = AT_HOME.get(package)
        if each.target == "a computed name":
            return module.name in {"__init__", "cli.lazy"}
        at_home = homes is None or module.room in homes
        quick = package != "torch" or module.room != "types" or each.is_deferred
        return package not in NOWHERE and (at_home and quick)
    if not inner:
        return module.room == "cli" and each.is_deferred
    room = inner.split(".")[0]
    if room == module.room or room in ANYONE_MAY_IMPORT:
        return True
    allowed = MAY_IMPORT.get(module.room, set())
    if "*" in allowed:
        return each.is_deferred
    if module.room == "__init__" and not each.is_deferred:
        return False
    return any(inner == entry or inner.startswith(f"{entry}.") for entry in allowed)


def _called(node: ast.Call) -> str:
    return ast.unparse(node.func)


def _wrong_call(node: ast.Call) -> str:
    name = _called(node)
    given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
    if name in {"eval", "exec", "compile", "__import__"}:
        return name
    if name.startswith("torch.") and name.endswith(".load"):
        return name
    if name in {"yaml.load", "yaml.full_load", "yaml.unsafe_load", "os.system", "os.popen"}:
        return name
    if given.get("shell", "False") != "False" or given.get("allow_pickle", "False") != "False":
        return f"{name} with shell or allow_pickle"
    return ""


MODULES = read_modules(SOURCE)


def test_rooms_are_known():
    assert {module.room for module in MODULES} <= set(MAY_IMPORT)


@pytest.mark.parametrize("check", [import_violations, size_violations, word_violations])
def test_the_house_keeps_its_rules(check):
    assert [line for module in MODULES for line in check(module)] == []


def test_nine_of_ten_functions_are_short():
    lengths = [length for module in MODULES for _, length in function_lengths(module)]
    short = sum(length < USUAL_FUNCTION for length in lengths)
    assert short >= 0.9 * len(lengths), f"{short} of {len(lengths)} functions have under {USUAL_FUNCTION} lines"


def test_the_engines_core_stays_small():
    core = [m for m in MODULES if m.room == "engine" and not NOT_THE_CORE & set(m.name.split("."))]
    assert {"engine.engine", "engine.scheduler", "engine.runner", "engine.sampler"} <= {m.name for m in core}
    lines = {module.name: num_code_lines(module) for module in core}
    assert sum(lines.values()) < LONGEST_CORE, lines


def test_code_lines_are_counted():
    text = "x = (\n    1\n)\n\n# why\ndef f():\n    '''what'''\n    return x"
    assert num_code_lines(planted("engine.engine", text)) == 5


def planted(name: str, text: str) -> Module:
    return Module(name=name, is_package=False, text=f'"""A contract."""\n{text}\n')


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("engine.engine", "from ivl.processing import Processor"),
        ("engine.engine", "def f():\n    from ivl.processing.template import render"),
        ("engine.engine", "from ..processing import Processor"),
        ("engine.engine", "from ivl import processing"),
        ("engine.engine", "from ivl import load_processor"),
        ("engine.engine", "from importlib import import_module\nimport_module('ivl.processing')"),
        ("engine.engine", "import ivl"),
        ("processing.images", "from ivl.model.vit import VisionModel"),
        ("model.vit", "from ivl.processing import split_tiles"),
        (
            "model.vit",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ivl.session import Session",
        ),
        ("session.session", "from ivl.cli.terminal import note"),
        ("server.app", "from ivl.ui import page"),
        ("train.trainer", "from ivl.engine import Engine"),
        ("export.merge", "from ivl.train.config import TrainConfig"),
        ("cli.chat", "from ivl.session import pipeline"),
        ("cli.chat", "import torch"),
        ("types", "import torch"),
        ("evals.run", "import gradio"),
        ("ui.page", "from fastapi import FastAPI"),
        ("train.trainer", "import datasets"),
        ("model.weights", "import pickle"),
        ("session.session", "import_module(name)"),
    ],
)
def test_a_planted_import_is_found(name, text):
    assert import_violations(planted(name, text)), text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cli.chat", "def chat():\n    from ivl.session import pipeline"),
        ("cli.chat", "import click"),
        ("types", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch"),
        ("session.session", "from ivl.types import Response"),
        ("processing.processor", "from ivl.model.config import InternVLConfig"),
        ("ui.page", "import gradio"),
    ],
)
def test_an_allowed_import_is_not_found(name, text):
    assert not import_violations(planted(name, text))


@pytest.mark.parametrize(
    "text",
    [
        "eval('1')",
        "exec('1')",
        "import torch\ntorch.load('x')",
        "torch.jit.load('x')",
        "f(trust_remote_code=False)",
        "def f(trust_remote_code): pass",
        "import yaml\nyaml.load('x')",
        "np.load('x', allow_pickle=True)",
        "subprocess.run('x', shell=True)",
        "def f():\n    global x",
        "raise NotImplementedError",
        "# TODO: later",
    ],
)
def test_a_planted_word_is_found(text):
    assert word_violations(planted("model.weights", text)), text


def test_planted_sizes_are_found():
    body = "    x = 1\n"
    assert size_violations(planted("model.vit", "def f():\n" + body * 60))
    assert not size_violations(planted("model.vit", "def f():\n" + body * 59))
    assert size_violations(planted("model.vit", "x = 1\n" * 300))
    assert size_violations(planted("cli.chat", "x = 1\n" * 100))
    assert word_violations(planted("model.utils", "x = 1"))
    assert word_violations(Module(name="model.vit", is_package=False, text="x = 1"))
