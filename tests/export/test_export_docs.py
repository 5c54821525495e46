"""The commands and the Python of docs/export.md run as they are written."""

import shutil
from pathlib import Path

import pytest

from ivl.cli.main import run
from ivl.zoo import sample_pictures
from test_docs import ROOT, blocks, check_shell_line, console_commands

PAGE = ROOT / "docs" / "export.md"


def test_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(sample_pictures()[0], tmp_path / "dinner.jpg")
    monkeypatch.chdir(tmp_path)
    commands = [words for block in blocks(PAGE, "console") for words, _ in console_commands(block)]
    assert len(commands) >= 3
    for words in commands:
        assert run(words[1:]) == 0, capsys.readouterr().err
        assert capsys.readouterr().out.strip()
    (text,) = blocks(PAGE, "python")
    exec(compile(text, str(PAGE), "exec"), {"__name__": "page"})
    assert capsys.readouterr().out.split()[0] == "nano"


def test_its_other_lines_are_well_formed() -> None:
    lines = [line for block in blocks(PAGE, "sh") for line in block.splitlines()]
    assert len(lines) >= 3
    for line in lines:
        check_shell_line(line)
