"""What docs/serving.md and the READMEs say of the server is true: Python and curl lines run, options exist."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ivl.cli.serve_options import OPTIONS
from ivl.server.schema import VideoContent
from ivl.zoo import sample_pictures, sample_questions
from server.conftest import Live

ROOT = Path(__file__).parents[2]
SERVING = ROOT / "docs/serving.md"
PAGE = SERVING.read_text("utf-8")
HERE = "http://127.0.0.1:8000"
# For machines without curl: as much of it as the pages use.
CURL = f"""#!{sys.executable}
import sys, urllib.request
words, headers, body, url = sys.argv[1:], {{}}, None, None
while words:
    word = words.pop(0)
    if word == "-H":
        name, _, value = words.pop(0).partition(": ")
        headers[name] = value
    elif word == "-d":
        given = words.pop(0)
        body = sys.stdin.buffer.read() if given == "@-" else given.encode()
    elif word != "-N":
        url = word
print(urllib.request.urlopen(urllib.request.Request(url, body, headers)).read().decode())
"""


def blocks(language: str, page: str = PAGE) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


def curl_lines(page: Path) -> list[str]:
    """The commands of a page that use curl; those that go on in a next line as one."""
    text = page.read_text("utf-8").replace("\\\n", " ")
    lines = [line.removeprefix("$ ") for block in blocks(r"\w*", text) for line in block.splitlines()]
    return [line for line in lines if re.search(r"\bcurl .*http", line)]


def commands() -> list[str]:
    pages = (SERVING, ROOT / "README.md", ROOT / "README.zh-CN.md")
    return sorted({line for page in pages for line in curl_lines(page)})


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the picture that the examples name."""
    shutil.copy(sample_pictures()[0], tmp_path / "dinner.jpg")
    monkeypatch.chdir(tmp_path)
    if shutil.which("curl") is None:
        (tmp_path / "curl").write_text(CURL)
        (tmp_path / "curl").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def test_its_python_runs(live: Live, workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (text,) = blocks("python")
    assert HERE in text
    exec(compile(text.replace(HERE, live.url), "serving.md", "exec"), {})
    whole, streamed = capsys.readouterr().out.split("\n")
    assert whole == streamed == sample_questions()[0].answer


@pytest.mark.parametrize("line", commands(), ids=lambda line: line[:60])
def test_curl_lines_work(live: Live, workplace: Path, line: str) -> None:
    """As they are written, but for the port."""
    assert HERE in line
    ran = subprocess.run(
        ["bash", "-c", line.replace(HERE, live.url)], capture_output=True, text=True, timeout=60, check=True
    )
    if "stream" in line:
        assert ran.stdout.rstrip().endswith("data: [DONE]")
        return
    answer = json.loads(ran.stdout)
    assert "error" not in answer, answer
    assert answer["object"] in ("chat.completion", "text_completion", "list")
    if "dinner.jpg" in line:
        assert answer["choices"][0]["message"]["content"] == sample_questions()[0].answer


def test_there_are_curl_lines() -> None:
    assert len(curl_lines(SERVING)) == 5
    assert not any('"model"' in line for line in commands()), "the small model's name may change"


def test_the_part_of_a_video_is_as_shown() -> None:
    (text,) = blocks("json")
    VideoContent.model_validate_json(text)


def test_it_names_the_options_there_are() -> None:
    flags = {flag for flag, _, _, _ in OPTIONS} | {"--name", "--batch", "--api-keys", "--allow-anonymous",
                                                   "--open-health", "--session-len", "--adapter", "--ui"}  # fmt: skip
    named = set(re.findall(r"`(--[a-z-]+)[` ]", PAGE))
    assert named <= flags
    assert {flag for flag, _, _, _ in OPTIONS} - named <= {"--port", "--host"}
