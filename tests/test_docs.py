"""What README and docs say is true: their commands run, their Python runs, their links lead somewhere.

Fenced blocks by language: `console` holds commands (lines after `$ `) that are run, with output that must appear;
`python` is run; `sh` needs a network or much time, so its `ivl` lines are only parsed and its `make` lines looked up;
`text` is shown and nothing more.
"""

import ast
import json
import re
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from ivl.cli.conversation import HELP
from ivl.cli.main import ivl as group
from ivl.cli.main import run
from ivl.zoo import nano_folder, sample_pictures

ROOT = Path(__file__).parent.parent
ENGLISH, CHINESE = ROOT / "README.md", ROOT / "README.zh-CN.md"
PAGES = [ENGLISH, CHINESE, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
# Pages with a Chinese side that must say the same in the same order: the part of their names before the language.
TRANSLATED = ("from-xtuner-lmdeploy", "index", "outlook", "patterns", "publishing", "serving-elsewhere", "sizing",
              "troubleshooting", "tutorial", "understand")  # fmt: skip
# Names that the examples give to a person's own pictures.
PICTURES = ("dinner.jpg", "before.jpg", "after.jpg", "your_image_path")


def blocks(page: Path, language: str) -> list[str]:
    """The contents of a page's fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def console_commands(text: str) -> list[tuple[list[str], str]]:
    """Command lines as words, each with the output shown under it."""
    parts = re.split(r"^\$ ", text, flags=re.MULTILINE)
    assert not parts[0].strip(), f"output before the first command: {parts[0]!r}"
    lines = [part.partition("\n") for part in parts[1:]]
    return [(shlex.split(command, comments=True), output.strip()) for command, _, output in lines]


def check_shell_line(line: str) -> None:
    """Raise for an `ivl` line with a wrong subcommand or option, or a `make` line without its target."""
    program, *words = shlex.split(line, comments=True)
    if program == "make":
        assert re.search(rf"^{words[0]}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE), line
        return
    assert program == "ivl", f"neither ivl nor make: {line!r}"
    command = group.get_command(click.Context(group), words[0])
    assert command is not None, line
    command.make_context(words[0], words[1:])


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with the pictures and the model that the examples name."""
    for name in PICTURES:
        shutil.copy(sample_pictures()[0], tmp_path / name)
    (tmp_path / "your_model_path").symlink_to(nano_folder())
    (tmp_path / "src").symlink_to(ROOT / "src")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_commands_run(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commands = [each for block in blocks(ENGLISH, "console") for each in console_commands(block)]
    assert {words[1] for words, _ in commands} == {"chat", "info", "doctor"}
    for words, expected in commands:
        assert words[0] == "ivl"
        code = run(words[1:])
        shown = capsys.readouterr()
        assert code == 0, f"{words}: {shown.err}"
        assert shown.out.strip(), f"{words} printed nothing"
        if expected:
            assert shown.out.strip() == expected, words
    assert (workplace / "grid.png").exists()


def test_python_runs(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {"__name__": "readme"}
    assert len(blocks(ENGLISH, "python")) == 2
    for block in blocks(ENGLISH, "python"):
        exec(compile(block, "README.md", "exec"), names)
        assert capsys.readouterr().out.strip()
    responses = names["responses"]
    assert isinstance(responses, list)
    assert len(responses) == 2


def test_other_command_lines_are_well_formed() -> None:
    lines = [line for block in blocks(ENGLISH, "sh") for line in block.splitlines()]
    assert any(line.startswith("ivl chat -m") for line in lines)
    for line in lines:
        check_shell_line(line)


@pytest.mark.parametrize("line", ["ivl chat --no-such-option", "ivl chta x.jpg", "make nothing", "pip install x"])
def test_a_wrong_command_line_is_found(line: str) -> None:
    with pytest.raises((AssertionError, click.ClickException)):
        check_shell_line(line)


def test_both_readmes_show_the_same_code() -> None:
    for language in ("console", "text"):
        assert blocks(ENGLISH, language) == blocks(CHINESE, language)
    english, chinese = ([ast.dump(ast.parse(text)) for text in blocks(page, "python")] for page in (ENGLISH, CHINESE))
    assert english == chinese
    english, chinese = ([re.sub(r" *#.*", "", text) for text in blocks(page, "sh")] for page in (ENGLISH, CHINESE))
    assert english == chinese
    fences = [re.findall(r"^```(\w*)$", page.read_text("utf-8"), re.MULTILINE) for page in (ENGLISH, CHINESE)]
    assert fences[0] == fences[1]
    assert set(fences[0]) == {"", "console", "python", "sh", "text"}


def test_both_readmes_have_the_same_structure() -> None:
    def structure(page: Path) -> list[str]:
        """The page's headings, blocks, list items and table rows, in order and without their words."""
        lines = re.sub(r"^```(\w+)\n.*?^```$", r"```\1", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
        return re.findall(r"^(#+ |```\w+|- |\|)", lines, re.MULTILINE)

    assert structure(ENGLISH) == structure(CHINESE)


def outline(page: Path) -> list[str]:
    """A page's headings, code without comments, list items and numbers of cells in table rows, in order."""
    text = re.sub(r"^```(\w+)\n(.*?)^```$", _as_code, page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    lines = re.findall(r"^(?:(#+ |```.*|- |\d+\. )|(\|.*))", text, re.MULTILINE)
    return [mark or f"row of {row.count('|')}" for mark, row in lines]


def _as_code(block: re.Match[str]) -> str:
    return "\n".join(f"```{block[1]} {re.sub(r' *#.*', '', line)}" for line in block[2].splitlines())


def told_links(page: Path) -> list[str]:
    """A page's links as both languages share them: headings, and so anchors, have other words."""
    return sorted({re.sub(r"#.*", "#", link).replace(".zh-CN", "").replace("-zh.", "-en.") for link in links(page)})


@pytest.mark.parametrize("name", TRANSLATED)
def test_a_page_says_the_same_in_both_languages(name: str) -> None:
    english, chinese = (ROOT / "docs" / f"{name}{ending}" for ending in (".md", ".zh-CN.md"))
    assert outline(english) == outline(chinese)
    assert told_links(english) == told_links(chinese)
    for page in (english, chinese):
        for line in (line for block in blocks(page, "sh") for line in block.splitlines()):
            check_shell_line(line)


def test_both_readmes_have_the_same_links() -> None:
    english, chinese = (
        sorted({link.replace(".zh-CN", "") for link in links(page)} - {ENGLISH.name}) for page in (ENGLISH, CHINESE)
    )
    assert english == chinese


@pytest.mark.parametrize("page", [ENGLISH, CHINESE], ids=lambda page: page.name)
def test_every_command_of_a_conversation_is_named(page: Path) -> None:
    for usage in HELP:
        assert f"`{usage}`" in page.read_text("utf-8")


def links(page: Path) -> list[str]:
    """Where a page's links lead."""
    return re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8"))


def named_files(page: Path) -> Iterator[str]:
    """Files and folders that a page names in backticks, with a slash in them."""
    for name in re.findall(r"`([\w.-]+/[\w./-]*)`", page.read_text("utf-8")):
        if not name.startswith((".venv/", "out/", "path/")):
            yield name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_files_exist(page: Path) -> None:
    for link in links(page):
        if "://" not in link:
            assert (page.parent / link.partition("#")[0]).exists(), link
    planned = re.findall(r"`(\w+/)`", page.read_text("utf-8").partition("later work adds")[2].partition("\n\n")[0])
    for name in set(named_files(page)) - set(planned):
        assert (ROOT / name).exists() or (ROOT / "src/ivl" / name).exists(), name


def test_the_rooms_are_the_ones_on_the_page() -> None:
    text = (ROOT / "docs/architecture.md").read_text("utf-8")
    plan = text.partition("    src/ivl/\n")[2].partition("\n\n")[0]
    home, room = ROOT / "src/ivl", ROOT / "src/ivl"
    rooms = set()
    for line in plan.splitlines():
        if found := re.match(r"      (\w+)/ ", line):
            room = home / found[1]
            rooms.add(found[1])
        elif re.match(r"      \w", line):
            room = home
        for name in re.findall(r"\b\w+\.py\b", line):
            assert (room / name).exists(), f"{room.name}/{name}"
    assert rooms == {path.parent.name for path in home.glob("*/__init__.py")}


def test_figures_are_the_measured_ones() -> None:
    path = max((ROOT / "benchmarks/results").glob(f"{nano_folder().name}-h100-*.json"))
    summary = json.loads(path.read_text("utf-8"))["summary"]
    shown = [figures for figures in summary.values() if {"trained", "held_out"} <= set(figures)]
    for page in (ENGLISH, CHINESE):
        rows = re.findall(r"\| ([\d.]+)% \| ([\d.]+)% \|", page.read_text("utf-8"))
        assert 3 <= len(rows) <= len(shown)
        for figures, row in zip(shown, rows, strict=False):
            for style, figure in zip(("trained", "held_out"), row, strict=True):
                assert abs(float(figure) - 100 * figures[style]) < 0.051, f"{page.name}: {figure}, {style}"


def test_every_dependency_is_explained() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    text = (ROOT / "docs/dependencies.md").read_text("utf-8")
    extras = [each for extra in project["optional-dependencies"].values() for each in extra]
    for requirement in [*project["dependencies"], *extras]:
        name = re.split(r"[<>=\[]", requirement)[0]
        assert name == "ivl" or re.search(rf"^\|.*`{name}[`<>=]", text, re.MULTILINE), requirement
    core = text.partition("## Core")[2].partition("\n## ")[0]
    explained = re.findall(r"^\| `([\w-]+)", core, re.MULTILINE)
    assert set(explained) == {re.split(r"[<>=]", each)[0] for each in project["dependencies"]}
