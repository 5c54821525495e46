"""`ivl export`: what is typed and what is told; what it makes is tested in tests/export."""

from pathlib import Path

import pytest

import ivl
from cli.test_merge import adapter as adapter
from ivl.zoo import nano_folder


def test_the_model_in_the_package(tmp_path, ivl_command):
    done = ivl_command("export", "zoo", "-o", tmp_path / "hf", "--layout", "transformers")
    assert done.code == 0, done.err
    assert "(transformers layout, 1 file of weights" in done.out
    assert "difference  0 at most between two logits (allowed: 1e-05; " in done.out
    assert ivl.load_config(tmp_path / "hf") == ivl.load_config(nano_folder())
    told = ivl_command("info", tmp_path / "hf", "--json")
    assert told.code == 0


def test_an_adapter_with_its_base(adapter, tmp_path, ivl_command):
    done = ivl_command("export", adapter, "-o", tmp_path / "out", "--base", "zoo")
    assert done.code == 0, done.err
    assert done.out.splitlines()[2].split() == ["adapter", str(adapter)]


def test_an_adapter_alone(adapter, tmp_path, ivl_command, monkeypatch):
    seen = []
    monkeypatch.setattr("ivl.export.adapters.export_adapter", lambda *arguments: seen.append(arguments))
    words = ("export", adapter, "-o", tmp_path / "out", "--base", "zoo", "--layout", "transformers", "--adapter-only")
    done = ivl_command(*words)
    assert done.out == f"{tmp_path / 'out'} (adapter, transformers layout)\n"
    assert seen == [(adapter, ivl.load_config(nano_folder()), tmp_path / "out", "transformers")]
    assert "goes with --layout and --base only" in ivl_command(*words, "--dtype", "float32").err
    refused = ivl_command("export", "zoo", "-o", tmp_path / "out", "--adapter-only")
    assert "--adapter-only goes with an adapter" in refused.err


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("export", "zoo"), "Missing option '-o'"),
        (("export", "./nowhere", "-o", "out"), "./nowhere: no such folder"),
        (("export", "empty", "-o", "out"), "empty is no model, adapter or run"),
        (("export", "zoo", "-o", "out", "--layout", "hf"), "'hf' is not one of"),
    ],
)
def test_mistakes_are_one_line(words, problem, tmp_path: Path, monkeypatch, ivl_command):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    done = ivl_command(*words)
    assert done.code in (1, 2)
    assert problem in done.err
    assert done.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_progress_without_a_terminal_is_a_line_now_and_then(capsys, monkeypatch):
    from ivl.cli import exporting

    monkeypatch.setattr(exporting, "_SECONDS", 0.0)
    with exporting.writing_progress() as tell:
        tell("writing", 5 * 10**8, 2 * 10**9)
        tell("checking", 3, 7)
    assert capsys.readouterr().err == "writing: 0.5 of 2 GB written\nchecking: 3 of 7 parameters compared\n"
