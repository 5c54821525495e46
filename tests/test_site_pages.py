"""What the site's own pages say is so: commands end as shown, Python runs, quoted errors are those of the source."""

import ast
import re
import shutil
from functools import cache
from pathlib import Path

import pytest

from ivl.cli.main import run
from ivl.zoo import nano_folder, sample_pictures
from test_docs import blocks, check_shell_line, console_commands

ROOT = Path(__file__).parent.parent
DOCS, SOURCE = ROOT / "docs", ROOT / "src"
PAIRS = ("index", "tutorial", "from-xtuner-lmdeploy", "troubleshooting")
API = sorted((DOCS / "api").glob("*.md"))


@pytest.mark.parametrize("name", PAIRS)
def test_command_lines_are_well_formed(name: str) -> None:
    for block in blocks(DOCS / f"{name}.md", "sh"):
        for line in block.splitlines():
            check_shell_line(line)


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the examples name, faults included."""
    for name in ("dinner.jpg", "before.jpg", "after.jpg", "your_image_path"):
        shutil.copy(sample_pictures()[0], tmp_path / name)
    (tmp_path / "your_model_path").symlink_to(nano_folder())
    for folder in ("half", "runs/food/adapter"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "runs/food/adapter/adapter_config.json").write_text('{"peft_type": "LORA"}')
    (tmp_path / "photo.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0heicmif1")
    (tmp_path / "notes.jpg").write_text("two eggs, one onion")
    (tmp_path / "food.yaml").write_text("data_path: train.json\n")
    (tmp_path / "train.json").write_text('[{"image": "a.jpg", "question": "What is it?", "answer": "A hot dog."}]')
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", PAIRS)
def test_commands_say_what_the_page_shows(name: str, workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for block in blocks(DOCS / f"{name}.md", "console"):
        for given, expected in console_commands(block):
            code = run(given[1:])
            shown = capsys.readouterr()
            if expected.startswith("error: "):
                assert code != 0, given
                assert shown.err.strip().splitlines()[-1] == expected
            else:
                assert code == 0, f"{given}: {shown.err}"
                assert shown.out.strip()


@pytest.mark.parametrize("page", [*(DOCS / f"{name}.md" for name in PAIRS), *API], ids=lambda page: page.stem)
def test_python_runs(page: Path, workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for block in blocks(page, "python"):
        exec(compile(block, str(page), "exec"), {"__name__": "page"})
        assert capsys.readouterr().out.strip()


@cache
def messages() -> list[list[str | None]]:
    """Every text in the source with some words in it, in pieces; None stands for a value put in."""
    found = []
    sources = [path.read_text("utf-8") for path in (SOURCE / "ivl").rglob("*.py")]
    for source in sources:
        for node in ast.walk(ast.parse(source)) if "Error(" in source else ():
            parts = node.values if isinstance(node, ast.JoinedStr) else [node] if isinstance(node, ast.Constant) else []
            texts = [part.value if isinstance(part, ast.Constant) else None for part in parts]
            if all(text is None or isinstance(text, str) for text in texts) and len("".join(filter(None, texts))) >= 20:
                found.append(texts)
    return found


def is_said(line: str) -> bool:
    """Whether some text of the source could read like this, behind the place that it is about."""
    places = [0, *(found.end() for found in re.finditer(r": ", line))]
    for texts in messages():
        if all(text in line for text in texts if text):
            pattern = re.compile("".join(".+?" if text is None else re.escape(text) for text in texts))
            if any(pattern.fullmatch(line, place) for place in places):
                return True
    return False


def test_quoted_errors_are_in_the_source() -> None:
    quoted = [line for block in blocks(DOCS / "troubleshooting.md", "text") for line in block.splitlines()]
    assert len(quoted) > 8
    for line in quoted:
        assert line.startswith("error: "), line
        assert is_said(line.removeprefix("error: ")), line
    assert not is_said("the moon is made of cheese: eat less of it")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_tutorial_by_hand_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command of the five tasks but those that wait for a browser, with a few steps and items."""
    page = DOCS / "tutorial.md"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "src").symlink_to(SOURCE)
    (tmp_path / "out").mkdir()
    recipe = blocks(page, "yaml")[0].replace("max_steps: 80", "max_steps: 2").replace("batch_size: 16", "batch_size: 2")
    (tmp_path / "food.yaml").write_text(recipe, "utf-8")
    text = page.read_text("utf-8").partition("## Task 1")[2].partition("## The story")[0]
    lines = [
        line
        for block in re.findall(r"^```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
        for line in block.splitlines()
    ]
    commands = [given[1:] for given, _ in console_commands("".join(f"$ {line}\n" for line in lines))]
    ran = []
    for given in commands:
        if given[0] in ("ui", "serve"):
            continue
        quick = ["--limit", "2"] if given[0] == "eval" else []
        assert run([*given, *quick]) == 0, given
        ran.append(given[0])
    assert {"info", "explain", "chat", "data", "train", "eval", "merge", "export", "push"} <= set(ran)
