"""`ivl ui` before it listens: what it refuses, in one line."""

import pytest

from ivl.cli.main import run


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--host", "0.0.0.0"], "--api-keys"),
        (["--foods", "nowhere"], "nowhere: no list of dishes"),
        (["--adapter", "food"], "NAME=FOLDER"),
        (["--port", "70000"], "70000"),
        (["--max-image-bytes", "0"], "--max-image-bytes"),
    ],
)
def test_a_mistake_is_told_in_one_line(args, told, capsys):
    assert run(["ui", *args]) in (1, 2)
    error = capsys.readouterr().err
    assert told in error
    assert len(error.strip().splitlines()) == 1


def test_help_says_what_is_public(capsys):
    assert run(["ui", "--help"]) == 0
    text = capsys.readouterr().out
    assert "PUBLIC" in text
    assert "only this machine" in text.lower()
