"""`ivl tutorial` as a command, its document in two languages, and the whole of it in small."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import ivl.cli.tutorial as command
from ivl.tutorial.numbers import QUICK
from test_docs import blocks, check_shell_line

DOCS = Path(__file__).parents[2] / "docs"
ENGLISH, CHINESE = DOCS / "tutorial.md", DOCS / "tutorial.zh-CN.md"


def test_dry_run_shows_commands_and_runs_none(ivl_command, tmp_path: Path):
    shown = ivl_command("tutorial", "--dry-run", "--quick", "--out", tmp_path / "t")
    assert shown.code == 0, shown.err
    lines = [line for line in shown.out.splitlines() if line.startswith("ivl ")]
    assert [line.split()[1] for line in lines][:5] == ["explain", "chat", "data", "data", "train"]
    for line in lines:
        check_shell_line(line)
    assert not (tmp_path / "t").exists()


def test_dry_run_from_a_step(ivl_command, tmp_path: Path):
    shown = ivl_command("tutorial", "--dry-run", "--from", "eval-general", "--out", tmp_path / "t")
    lines = [line for line in shown.out.splitlines() if line.startswith("ivl ")]
    assert [line.split()[1] for line in lines] == ["eval", "merge", "chat", "export", "push"]


def test_the_model_is_named_in_every_command(ivl_command, tmp_path: Path):
    shown = ivl_command("tutorial", "--dry-run", "-m", "OpenGVLab/InternVL2-2B", "--out", tmp_path / "t")
    for line in shown.out.splitlines():
        if line.startswith("ivl ") and shlex.split(line)[1] in ("explain", "chat", "eval", "merge"):
            assert "OpenGVLab/InternVL2-2B" in line or "InternVL2-foods" in line
    assert '#   path: "OpenGVLab/InternVL2-2B"' in shown.out


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["--from", "trian", "--dry-run"], "did you mean 'train'?"),
        (["--from", "train"], "holds no tutorial to go on with"),
    ],
)
def test_mistakes_are_one_line(ivl_command, tmp_path: Path, args, named):
    shown = ivl_command("tutorial", "--out", tmp_path / "t", *args)
    assert shown.code == 1
    assert shown.err.count("\n") == 1
    assert named in shown.err


def test_without_the_extra_it_is_said_before_anything_runs(ivl_command, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(command, "NEEDED", ("accelerate", "no_such_package"))
    shown = ivl_command("tutorial", "--out", tmp_path / "t")
    assert shown.code == 1
    assert "needs no_such_package: pip install 'ivl[train]'" in shown.err
    assert not (tmp_path / "t").exists()


def test_both_documents_show_the_same_code():
    assert blocks(ENGLISH, "sh")
    for language in ("sh", "yaml", "text"):
        english, chinese = (
            [re.sub(r" *#.*", "", text) for text in blocks(page, language)] for page in (ENGLISH, CHINESE)
        )
        assert english == chinese


def test_both_documents_have_the_same_structure():
    def structure(page: Path) -> list[str]:
        lines = re.sub(r"^```(\w+)\n.*?^```$", r"```\1", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
        return re.findall(r"^(#+ |```\w+|- |\d+\. |\|)", lines, re.MULTILINE)

    assert structure(ENGLISH) == structure(CHINESE)


def test_the_documents_commands_are_well_formed():
    for block in blocks(ENGLISH, "sh"):
        for line in block.splitlines():
            check_shell_line(line)


@pytest.mark.parametrize("page", [ENGLISH, CHINESE], ids=lambda page: page.name)
def test_every_step_is_explained(ivl_command, tmp_path: Path, page: Path):
    shown = ivl_command("tutorial", "--dry-run", "--quick", "--out", tmp_path / "t").out
    names = re.findall(r"^\[\d+/\d+\] ([\w-]+):", shown, re.MULTILINE)
    assert names
    assert re.findall(r"^\| `([\w-]+)` \|", page.read_text("utf-8"), re.MULTILINE) == names


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_whole_tutorial_in_small(tmp_path: Path):
    """Every command for real, with the model in the package; then the last step once more."""
    words = [sys.executable, "-m", "ivl", "tutorial", "--quick", "--out", "t"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    record = json.loads((tmp_path / "t/tutorial.json").read_text("utf-8"))
    ran = [each for step in record["steps"].values() for each in step]
    assert all(each["exit_code"] == 0 for each in ran)
    assert [f"$ {each['line']}" for each in ran] == [line for line in done.stdout.splitlines() if line[:2] == "$ "]
    page = (tmp_path / "t/report.html").read_text("utf-8")
    for link in re.findall(r'href="([^"]+)"', page):
        assert (tmp_path / "t" / link).is_file(), link
    assert "eval-food/report.html" in page
    assert "food_lora/report.html" in page
    assert "data-check.html" in page
    assert QUICK.questions[0][1] in page
    assert not (tmp_path / "t/vision_cache").exists()
    again = subprocess.run([*words, "--from", "report"], cwd=tmp_path, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
