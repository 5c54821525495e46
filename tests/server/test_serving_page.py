"""What docs/serving.md says is true: its Python and its curl lines run, and its options exist."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from ivl.cli.serve_options import OPTIONS
from ivl.zoo import sample_pictures
from server.conftest import Live

PAGE = (Path(__file__).parents[2] / "docs/serving.md").read_text("utf-8")
HERE = "http://127.0.0.1:8000"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def test_its_python_runs(
    live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(sample_pictures()[0], tmp_path / "dinner.jpg")
    monkeypatch.chdir(tmp_path)
    (text,) = blocks("python")
    assert HERE in text
    exec(compile(text.replace(HERE, live.url), "serving.md", "exec"), {})
    whole, streamed = capsys.readouterr().out.split("\n")
    assert whole == streamed == "hot dog"


def test_its_curl_lines_work(live: Live) -> None:
    (text,) = blocks("bash")
    for line in text.splitlines():
        _, address, *options = shlex.split(line)
        assert address.startswith(HERE)
        body = options[options.index("-d") + 1] if "-d" in options else None
        response = live.http.request("POST" if body else "GET", address.removeprefix(HERE), content=body)
        assert response.status_code == 200, line


def test_it_names_the_options_there_are() -> None:
    flags = {flag for flag, _, _, _ in OPTIONS} | {"--name", "--batch", "--api-keys", "--allow-anonymous",
                                                   "--open-health", "--session-len", "--adapter"}  # fmt: skip
    named = set(re.findall(r"`(--[a-z-]+)[` ]", PAGE))
    assert named <= flags
    assert {flag for flag, _, _, _ in OPTIONS} - named <= {"--port", "--host"}
